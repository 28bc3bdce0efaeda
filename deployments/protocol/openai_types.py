"""The part of OpenAI's request schema that we check before a request costs anything.

Checks types and ranges, notes what the request needs of a model, and drops fields that neither
OpenAI nor vLLM knows, as OpenAI does. What a model then makes of the body is the engine's affair.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import InvalidRequest
from deployments.settings.app import Capability

Number = Annotated[float, Field(strict=True)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class _ImageUrl(_Open):
    url: str


class _TextPart(_Open):
    type: Literal["text"]
    text: str


class _RefusalPart(_Open):
    type: Literal["refusal"]
    refusal: str


class _ImagePart(_Open):
    type: Literal["image_url"]
    image_url: _ImageUrl


_Part = Annotated[_TextPart | _RefusalPart | _ImagePart, Field(discriminator="type")]


class _Function(_Open):
    name: str = Field(min_length=1)
    parameters: dict[str, Any] | None = None


class _Tool(_Open):
    type: Literal["function"]
    function: _Function


class _CalledFunction(_Open):
    name: str
    arguments: str


class _ToolCall(_Open):
    id: str
    function: _CalledFunction


class _Message(_Open):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class _StreamOptions(_Open):
    include_usage: StrictBool | None = None


class _NamedTool(_Open):
    type: Literal["function"]
    function: _Function


class _JsonSchema(_Open):
    name: str
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: StrictBool | None = None


class _ResponseFormat(_Open):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _Request(_Open):
    """What both endpoints share."""

    model: str
    stream: StrictBool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, gt=0, le=1)
    n: StrictInt | None = Field(None, ge=1, le=128)
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: StrictInt | None = Field(None, ge=-(2**63), lt=2**63)
    max_tokens: StrictInt | None = Field(None, ge=1)
    presence_penalty: Number | None = Field(None, ge=-2, le=2)
    frequency_penalty: Number | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Number] | None = None
    user: str | None = None
    # vLLM's own sampling fields, for clients that come from a bare vLLM server.
    top_k: StrictInt | None = None
    min_p: Number | None = None
    repetition_penalty: Number | None = None
    min_tokens: StrictInt | None = Field(None, ge=0)
    ignore_eos: StrictBool | None = None
    stop_token_ids: list[StrictInt] | None = None
    skip_special_tokens: StrictBool | None = None


class _ChatRequest(_Request):
    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: StrictInt | None = Field(None, ge=1)
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = Field(None, ge=0, le=20)
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | _NamedTool | None = None
    parallel_tool_calls: StrictBool | None = None
    response_format: _ResponseFormat | None = None
    reasoning_effort: str | None = None
    metadata: dict[str, str] | None = None
    store: StrictBool | None = None
    service_tier: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class _CompletionRequest(_Request):
    prompt: str | list[str] | list[StrictInt] | list[list[StrictInt]]
    best_of: StrictInt | None = Field(None, ge=1)
    echo: StrictBool | None = None
    suffix: str | None = None
    logprobs: StrictInt | None = Field(None, ge=0, le=20)


_SCHEMAS: dict[Endpoint, type[_Request]] = {"chat": _ChatRequest, "completions": _CompletionRequest}
# Fields of OpenAI's that mean something to OpenAI only: accepted, not passed on.
_NOT_PASSED_ON = frozenset({"model", "metadata", "store", "service_tier"})


class ParsedRequest(BaseModel):
    """A checked request: the fields to pass on, and what they need of a model."""

    model_config = ConfigDict(frozen=True)

    endpoint: Endpoint
    model: str
    body: dict[str, Any]
    needs: frozenset[Capability]
    ignored: tuple[str, ...]

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
        return "\n".join(part for part in prompt if isinstance(part, str))


def parse(endpoint: Endpoint | None, raw: bytes) -> ParsedRequest:
    """The request in a body; without an endpoint, the one whose fields the body has.

    Raises: `InvalidRequest`, which names the field.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {_json_mistake(error)}.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    if endpoint is None:
        endpoint = "completions" if "prompt" in body and "messages" not in body else "chat"
    schema = _SCHEMAS[endpoint]
    try:
        checked = schema.model_validate(body)
    except ValidationError as error:
        raise _mistake(error, body) from None
    _check_together(checked)
    known = schema.model_fields.keys()
    return ParsedRequest(
        endpoint=endpoint,
        model=checked.model,
        body={k: v for k, v in body.items() if k in known and k not in _NOT_PASSED_ON},
        needs=_needs(checked),
        ignored=tuple(k for k in body if k not in known),
    )


def _json_mistake(error: orjson.JSONDecodeError) -> str:
    # orjson's message may quote nothing of the body, but its position is safe and useful.
    return f"{error.msg.split(':')[0]} (line {error.lineno}, column {error.colno})"


def _mistake(error: ValidationError, body: dict[str, Any]) -> InvalidRequest:
    """The first of the deepest mistakes in OpenAI's words: `messages[3].content: …`.

    Of a union's branches the deepest went furthest: for a list of parts with one wrong, the part.
    """
    mistakes = error.errors(include_url=False, include_input=False)
    first = max(mistakes, key=lambda mistake: len(mistake["loc"]))
    param = ""
    for part in first["loc"]:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part in ("str", "text") or "[" in part or part.startswith(("list", "_")):
            continue  # pydantic's name of a union's branch, not a field
        else:
            param += f".{part}" if param else part
    if first["type"] == "missing" and param not in body:
        return InvalidRequest(f"You must provide the parameter '{param}'.", param)
    return InvalidRequest(f"Invalid '{param}': {first['msg'].lower()}.", param)


def _check_together(request: _Request) -> None:
    """Checks that span fields."""
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "'stream_options' is only allowed when 'stream' is true.", "stream_options"
        )
    if isinstance(request, _CompletionRequest) and request.prompt == []:
        raise InvalidRequest("Invalid 'prompt': it is empty.", "prompt")
    if isinstance(request, _ChatRequest):
        _check_tool_choice(request)
        _check_output(request)


def _check_tool_choice(request: _ChatRequest) -> None:
    choice = request.tool_choice
    if choice not in (None, "none", "auto") and not request.tools:
        raise InvalidRequest("'tool_choice' is set, but there are no 'tools'.", "tool_choice")
    names = {tool.function.name for tool in request.tools or []}
    if isinstance(choice, _NamedTool) and choice.function.name not in names:
        raise InvalidRequest("'tool_choice' names a tool that is not in 'tools'.", "tool_choice")


def _check_output(request: _ChatRequest) -> None:
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs")
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is None:
        raise InvalidRequest("'response_format' lacks its 'json_schema'.", "response_format")


def _needs(request: _Request) -> frozenset[Capability]:
    needs: set[Capability] = set()
    if isinstance(request, _CompletionRequest):
        return frozenset({"logprobs"} if request.logprobs is not None else ())
    if not isinstance(request, _ChatRequest):
        return frozenset()
    if request.tools and request.tool_choice != "none":
        needs.add("tools")
    if request.response_format is not None and request.response_format.type != "text":
        needs.add("json_schema")
    if request.logprobs:
        needs.add("logprobs")
    if any(_has_image(message) for message in request.messages):
        needs.add("vision")
    return frozenset(needs)


def _has_image(message: _Message) -> bool:
    return isinstance(message.content, list) and any(
        isinstance(part, _ImagePart) for part in message.content
    )
