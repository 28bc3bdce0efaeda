"""A request's body, checked before it costs anything: what to pass on and what it needs of a model.

Types and ranges are `request_schema`'s, the treatment of each field is `request_fields`'. What a
model then makes of the body is the engine's affair.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from deployments.protocol.api import Api
from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.messages import images, without_nulls
from deployments.protocol.request_checks import check_together, limit_tokens
from deployments.protocol.request_fields import FIELDS, Field
from deployments.protocol.request_json import load_object
from deployments.protocol.request_mistake import mistake
from deployments.protocol.request_schema import (
    NAMES,
    OPENAI_TOOL_NAME,
    SCHEMAS,
    ChatRequest,
    Request,
)
from deployments.protocol.structured_outputs import with_older_names
from deployments.settings.app import Need

# OpenAI's completions give at most this many alternatives; vLLM gives 20.
OPENAI_LOGPROBS = 5


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A checked request. Its `repr` holds nothing of the client's: it may end up in a log."""

    endpoint: Endpoint
    model: str = field(repr=False)
    # The fields to pass on, without those that ask for nothing.
    body: dict[str, Any] = field(repr=False)
    # What a model must be able to do, and the parameter that asks for it.
    needs: Mapping[Need, str]
    # Hosts from which somebody would have to fetch what the request only names.
    media_hosts: frozenset[str] = field(repr=False)
    # Fields that were dropped.
    ignored: tuple[str, ...] = field(repr=False)
    # What the client asked, where it is not what engines are asked.
    api: Api | None = None

    @property
    def stream(self) -> bool:
        """Whether the client asked for server-sent events."""
        return bool(self.body.get("stream"))

    @property
    def conversation(self) -> list[dict[str, Any]] | str:
        """What the classifier scores: the messages, or the prompt as text."""
        if self.endpoint == "chat":
            messages: list[dict[str, Any]] = self.body["messages"]
            return messages
        prompt = self.body["prompt"]
        if isinstance(prompt, str):
            return prompt
        # All of a kind; of a million token ids none is looked at.
        return "\n".join(prompt) if isinstance(prompt[0], str) else ""


def parse(endpoint: Endpoint, raw: bytes) -> ParsedRequest:
    """The request in a body.

    Raises: `InvalidRequest`, which names the field and repeats nothing of the body.
    """
    return parse_fields(endpoint, load_object(raw))


def parse_fields(endpoint: Endpoint, fields: dict[str, Any]) -> ParsedRequest:
    """The request in an object. Raises: as `parse` does."""
    given = without_nulls_of(fields)
    table = FIELDS[endpoint]
    refuse(given, table)
    given = _without_inner_nulls(with_older_names(given))
    try:
        checked = SCHEMAS[endpoint].model_validate(given)
    except ValidationError as error:
        raise mistake(error, NAMES) from None
    check_together(checked)
    body = _body(given, table, checked)
    pictures = list(images(body["messages"])) if isinstance(checked, ChatRequest) else []
    needs = _needs(checked, body, table)
    if pictures:
        needs["vision"] = pictures[0][0]
    return ParsedRequest(
        endpoint=endpoint,
        model=checked.model,
        body=body,
        needs=needs,
        media_hosts=frozenset(host for _, host in pictures if host is not None),
        ignored=tuple(name for name in given if _dropped(name, table)),
    )


def without_nulls_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are there: null means absent."""
    return {name: value for name, value in fields.items() if value is not None}


def refuse(given: Mapping[str, Any], table: Mapping[str, Field]) -> None:
    """Raises: `InvalidRequest` naming the first field that cannot be done."""
    for name, value in given.items():
        row = table.get(name)
        if row is not None and row.treatment == "refused" and not row.asks_nothing(value):
            raise InvalidRequest(f"'{name}' is not supported: {row.why}.", name)


def _without_inner_nulls(given: dict[str, Any]) -> dict[str, Any]:
    """Options, tools and formats without their nulls, which mean absent there too.

    Empty `stream_options` are none; options that are null are some, as vLLM has it.
    """
    given = {n: value for n, value in given.items() if n != "stream_options" or value != {}}
    plain = {
        name: without_nulls_of(value)
        for name in ("stream_options", "structured_outputs")
        if isinstance(value := given.get(name), dict)
    }
    if isinstance(wanted := given.get("response_format"), dict):
        plain["response_format"] = _schema_named(_without_nulls_at(wanted, "json_schema"))
    if isinstance(tools := given.get("tools"), list):
        tools = [_without_nulls_at(t, "function") if isinstance(t, dict) else t for t in tools]
        return {**given, **plain, "tools": tools}
    return {**given, **plain}


def _without_nulls_at(value: dict[str, Any], name: str) -> dict[str, Any]:
    """An object without its nulls, and without those of the object in it that has this name."""
    value, inner = without_nulls_of(value), value.get(name)
    return {**value, name: without_nulls_of(inner)} if isinstance(inner, dict) else value


def _schema_named(wanted: dict[str, Any]) -> dict[str, Any]:
    """A format whose schema stands beside its type, as Together and llama.cpp have it, as OpenAI's:
    engines that know no such schema would leave it out."""
    if wanted.get("type") not in ("json_object", "json_schema") or "json_schema" in wanted:
        return wanted
    if "schema" not in wanted:
        return wanted
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted["schema"]}}


def _dropped(name: str, table: dict[str, Field]) -> bool:
    return name not in table or table[name].treatment == "ignored"


def _body(given: dict[str, Any], table: dict[str, Field], checked: Request) -> dict[str, Any]:
    """What is passed on, in one spelling whatever engine will read it."""
    body = {
        name: value
        for name, value in given.items()
        if name in table
        and table[name].treatment in ("passed", "vllm", "openai")
        and not table[name].asks_nothing(value)
    }
    if isinstance(checked, ChatRequest):
        body["messages"] = without_nulls(body["messages"])
        if not checked.tools:
            # "none": there is nothing to choose from, and nothing to call side by side.
            body.pop("tool_choice", None)
            body.pop("parallel_tool_calls", None)
    if body.get("stop") == []:
        del body["stop"]
    if "max_completion_tokens" in body and "max_tokens" in body:
        # OpenAI refuses both and vLLM takes one; a client that sets both means the smaller.
        del body["max_tokens"]
        body["max_completion_tokens"] = limit_tokens(checked)
    return body


def _needs(checked: Request, body: dict[str, Any], table: dict[str, Field]) -> dict[Need, str]:
    needs: dict[Need, str] = {}
    own = [name for name in body if table[name].treatment == "vllm"]
    wanted = checked.response_format
    if wanted is not None and wanted.type != "text":
        needs["json_schema"] = "response_format"
        own += ["response_format"] if wanted.type == "structural_tag" else []
    if isinstance(checked, ChatRequest):
        logprobs = checked.logprobs
        if checked.tools and checked.tool_choice != "none":
            needs["tools"] = "tools"
        own += [
            f"tools[{place}].function.name"
            for place, tool in enumerate(checked.tools or ())
            if len(tool.function.name) > OPENAI_TOOL_NAME
        ]
    else:
        logprobs = "logprobs" in body
        own += ["logprobs"] if body.get("logprobs", 0) > OPENAI_LOGPROBS else []
    if logprobs:
        needs["logprobs"] = "logprobs"
    if own:
        needs["vllm"] = own[0]
    return needs
