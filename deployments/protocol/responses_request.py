"""A Responses request as the chat that it means.

vLLM's own class does the same for every model but gpt-oss, and keeps the first text of a message
only (`vllm/entrypoints/openai/responses/utils.py`); here nothing that was said is left out.
"""

from dataclasses import dataclass, field
from typing import Any

from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import ParsedRequest, without_nulls_of
from deployments.protocol.request_json import load_object
from deployments.protocol.responses_answer import ResponsesAnswer
from deployments.protocol.responses_fields import OWN_WORDS, RESPONSES_FIELDS
from deployments.protocol.responses_items import (
    CallOutput,
    CustomCall,
    FunctionCall,
    ImagePart,
    Item,
    Message,
    Part,
    Reasoning,
    RefusalPart,
    TextPart,
)
from deployments.protocol.responses_schema import ResponsesRequest
from deployments.protocol.responses_tools import called_custom, tool_fields
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
        fields["response_format"] = {"type": "json_object"}
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


@dataclass(slots=True)
class _Chat:
    """The messages so far, and the assistant's turn that is being gathered.

    What a model thought, said and called comes in items, and is one message of a chat.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    # What stands before everything else: one message, as templates want it.
    preamble: list[str] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    _turn: dict[str, Any] = field(default_factory=dict)

    def add(self, item: Item, place: int) -> None:
        """Take the next item. Raises: `InvalidRequest`."""
        if isinstance(item, Message):
            self._say(item)
        elif isinstance(item, CallOutput):
            self._result(item, place)
        elif isinstance(item, Reasoning):
            thought = "\n".join(part.text for part in item.content or item.summary or [])
            before = self._turn.get("reasoning")
            self._turn["reasoning"] = f"{before}\n{thought}" if before else thought
        elif isinstance(item, FunctionCall | CustomCall):
            self._call(item)

    def end_turn(self) -> None:
        """The assistant's turn is over: its message joins the others."""
        if self._turn:
            content = self._turn.pop("content", [])
            plain = len(content) == 1 and content[0]["type"] == "text"
            message: dict[str, Any] = {"role": "assistant", **self._turn}
            if content or "tool_calls" not in message:
                message["content"] = content[0]["text"] if plain else content or ""
            self.messages.append(message)
            self._turn = {}

    def _say(self, item: Message) -> None:
        content = item.content
        parts = [_text(content)] if isinstance(content, str) else list(map(_part, content))
        if item.role == "assistant":
            if "content" in self._turn and "tool_calls" not in self._turn:
                self.end_turn()
            self._turn.setdefault("content", []).extend(parts)
            return
        self.end_turn()
        if item.role != "user" and not self.messages and all(p["type"] == "text" for p in parts):
            self.preamble += [part["text"] for part in parts]
            return
        # Templates know no developer, and those of OpenAI's models take a system for one.
        role = "user" if item.role == "user" else "system"
        told = content if isinstance(content, str) else parts or ""
        self.messages.append({"role": role, "content": told})

    def _call(self, item: FunctionCall | CustomCall) -> None:
        custom = isinstance(item, CustomCall)
        arguments = called_custom(item.input) if isinstance(item, CustomCall) else item.arguments
        self.called.add(item.call_id)
        function = {"name": item.name, "arguments": arguments or ("" if custom else "{}")}
        call = {"id": item.call_id, "type": "function", "function": function}
        self._turn.setdefault("tool_calls", []).append(call)

    def _result(self, item: CallOutput, place: int) -> None:
        if item.call_id not in self.called:
            raise InvalidRequest(
                f"'input[{place}].call_id' names no call: the call that it answers must stand "
                "before it in 'input'.",
                f"input[{place}].call_id",
            )
        self.end_turn()
        output = item.output
        told = output if isinstance(output, str) else list(map(_part, output)) or ""
        self.messages.append({"role": "tool", "tool_call_id": item.call_id, "content": told})


def _messages(request: ResponsesRequest) -> list[dict[str, Any]]:
    chat = _Chat()
    if isinstance(request.input, str):
        chat.messages.append({"role": "user", "content": request.input})
    else:
        for place, item in enumerate(request.input):
            chat.add(item, place)
        chat.end_turn()
    preamble = [text for text in (request.instructions, *chat.preamble) if text]
    first = [{"role": "system", "content": "\n\n".join(preamble)}] if preamble else []
    return first + chat.messages


def _part(part: Part) -> dict[str, Any]:
    """A part of a message as chat's."""
    if isinstance(part, ImagePart):
        image = {"url": part.image_url, "detail": part.detail}
        return {"type": "image_url", "image_url": without_nulls_of(image)}
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.refusal}
    return _text(part.text if isinstance(part, TextPart) else "")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
