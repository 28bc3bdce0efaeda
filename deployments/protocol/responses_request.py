"""A Responses request as the chat that it means.

vLLM's own class does the same for every model but gpt-oss, and keeps the first text of a message
only (`vllm/entrypoints/openai/responses/utils.py`); here nothing that was said is left out.
"""

from typing import Any

from deployments.protocol.openai_request import ParsedRequest, without_nulls_of
from deployments.protocol.request_json import load_object
from deployments.protocol.responses_answer import ResponsesAnswer
from deployments.protocol.responses_fields import OWN_WORDS, RESPONSES_FIELDS
from deployments.protocol.responses_schema import ResponsesRequest
from deployments.protocol.responses_tools import tool_fields
from deployments.protocol.responses_turns import Turns
from deployments.protocol.translated import as_chat, checked

LOGPROBS = "message.output_text.logprobs"


def parse_responses(raw: bytes) -> tuple[ParsedRequest, ResponsesAnswer]:
    """The chat in a body, and how its answer is told. Raises: `InvalidRequest`."""
    given = without_nulls_of(load_object(raw))
    request = checked(ResponsesRequest, given, RESPONSES_FIELDS)
    chat = {
        "messages": _messages(request),
        **tool_fields(request),
        **_text_fields(request),
        **_logprob_fields(request, given),
    }
    if "max_output_tokens" in given:
        chat["max_completion_tokens"] = given["max_output_tokens"]
    parsed = as_chat("responses", given, chat, RESPONSES_FIELDS, OWN_WORDS)
    return parsed, ResponsesAnswer(given, request)


def _text_fields(request: ResponsesRequest) -> dict[str, Any]:
    """The answer's form, and how hard to think of it."""
    fields: dict[str, Any] = {}
    form = request.text.format if request.text else None
    if form is not None and form.type == "json_schema":
        schema = {"name": form.name, "description": form.description, "schema": form.schema_,
                  "strict": form.strict}  # fmt: skip
        fields["response_format"] = {"type": "json_schema", "json_schema": without_nulls_of(schema)}
    elif form is not None and form.type == "json_object":
        fields["response_format"] = {"type": "json_object", "schema": form.schema_}
    if request.text and request.text.verbosity is not None:
        fields["verbosity"] = request.text.verbosity
    if request.reasoning and request.reasoning.effort is not None:
        fields["reasoning_effort"] = request.reasoning.effort
    return fields


def _logprob_fields(request: ResponsesRequest, given: dict[str, Any]) -> dict[str, Any]:
    top = given.get("top_logprobs")
    if not top and LOGPROBS not in (request.include or ()):
        return {}
    return {"logprobs": True, "top_logprobs": top or 0}


def _messages(request: ResponsesRequest) -> list[dict[str, Any]]:
    turns = Turns()
    if isinstance(request.input, str):
        said = [{"role": "user", "content": request.input}]
    else:
        for place, item in enumerate(request.input):
            turns.add(item, place)
        said = turns.messages()
    preamble = [text for text in (request.instructions, *turns.preamble) if text]
    first = [{"role": "system", "content": "\n\n".join(preamble)}] if preamble else []
    return first + said
