"""The messages of a chat: their schema, the images they carry, and their nulls taken out."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from deployments.protocol.request_json import MAX_DEPTH, too_deep
from deployments.protocol.request_mistake import branch_by, must, text_or_list

# More than any conversation that fits a window: at four tokens each, 65,536 of marks alone.
MAX_MESSAGES = 16_384
MAX_PARTS = 4096
MAX_TOOL_CALLS = 1024
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PARTS = ("text", "refusal", "image_url")
_DATA_IMAGE = re.compile(r"data:image/[\w.+-]{1,64}(;[\w.=+-]{1,64})*;base64,", re.ASCII)
# What two parsers might read as two different hosts.
_UNSAFE_IN_URL = re.compile(r"[\s\\@\x00-\x20\x7f]")


class Checked(BaseModel):
    """A part of a request: what we check of it; the rest is the engine's to read."""

    model_config = ConfigDict(extra="ignore", strict=True)


def _image(url: str) -> str:
    if url[:5].lower() == "data:":
        if not _DATA_IMAGE.match(url.lower()[:512]):
            raise must("a data URL must be of the form data:image/...;base64,...")
    elif _host(url) is None:
        raise must("it must be a data: URL or a plain http(s): URL")
    return url


def _host(url: str) -> str | None:
    """The host that an http(s) URL names; None for anything that could mean something else."""
    if _UNSAFE_IN_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return host if parts.scheme in ("http", "https") else None


def _arguments(text: str) -> str:
    if too_deep(text):
        raise must(f"it is nested more than {MAX_DEPTH} levels deep")
    return text


class _ImageUrl(Checked):
    url: Annotated[str, AfterValidator(_image)]
    detail: str | None = Field(None, max_length=16)


class _Part(Checked):
    # vLLM reads a part that has one by its other keys, whatever its type says, and may answer with
    # an image that another request left in its cache.
    uuid: None = None


class _TextPart(_Part):
    type: Literal["text"]
    text: str


class _RefusalPart(_Part):
    type: Literal["refusal"]
    refusal: str


class _ImagePart(_Part):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _UnknownPart(Checked):
    type: Literal["text", "refusal", "image_url"]


def tag(value: Any, key: str, known: tuple[str, ...]) -> str:
    """The branch that an object's `key` chooses; tags have marks, so that no field is named so."""
    chosen = value.get(key) if isinstance(value, dict) else None
    return f"<{chosen}>" if isinstance(chosen, str) and chosen in known else "<unknown>"


Part = Annotated[
    Annotated[_TextPart, Tag("<text>")]
    | Annotated[_RefusalPart, Tag("<refusal>")]
    | Annotated[_ImagePart, Tag("<image_url>")]
    | Annotated[_UnknownPart, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "type", PARTS)),
]
Parts = Annotated[list[Part], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)]
Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Parts, Tag("<list>")],
    branch_by(text_or_list, "it must be a string or an array of parts"),
]


class _CalledFunction(Checked):
    name: str = Field(min_length=1)
    arguments: Annotated[str, AfterValidator(_arguments)]


class _ToolCall(Checked):
    id: str
    type: Literal["function"]
    function: _CalledFunction


class _Said(Checked):
    """System, developer, user: somebody said something."""

    role: Literal["system", "developer", "user"]
    content: Content
    name: str | None = None


class _ToolResult(Checked):
    role: Literal["tool"]
    content: Content
    tool_call_id: str


class _FunctionResult(Checked):
    role: Literal["function"]
    name: str
    content: str | None


class _Assistant(Checked):
    role: Literal["assistant"]
    name: str | None = None
    refusal: str | None = None
    function_call: _CalledFunction | None = None
    tool_calls: (
        Annotated[list[_ToolCall], Field(max_length=MAX_TOOL_CALLS, fail_fast=True)] | None
    ) = None
    content: Content | None = Field(None, validate_default=True)

    @field_validator("content")
    @classmethod
    def _says_or_calls(cls, content: Any, info: ValidationInfo) -> Any:
        others = ("tool_calls", "function_call", "refusal")
        # A field that is wrong itself is not among the data, and is the mistake to tell.
        if content is None and not any(info.data.get(name, True) for name in others):
            raise must("an assistant's message needs content, unless it has tool_calls")
        return content


class _UnknownRole(Checked):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]


Message = Annotated[
    Annotated[_Said, Tag("<system>")]
    | Annotated[_Said, Tag("<developer>")]
    | Annotated[_Said, Tag("<user>")]
    | Annotated[_Assistant, Tag("<assistant>")]
    | Annotated[_ToolResult, Tag("<tool>")]
    | Annotated[_FunctionResult, Tag("<function>")]
    | Annotated[_UnknownRole, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "role", ROLES)),
]
Messages = Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]


def without_nulls(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Checked messages, without the nulls that SDKs write for what an answer did not have.

    `"tool_calls": null` or `[]` in an assistant's turn means no calls, and vLLM refuses the null.
    """
    return [_plain_message(message) for message in messages]


def _plain_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        message = {**message, "content": [_plain_part(part) for part in content]}
    if None not in message.values() and message.get("tool_calls") != []:
        return message
    return {
        key: value
        for key, value in message.items()
        if key == "content" or not (value is None or (key == "tool_calls" and value == []))
    }


def _plain_part(part: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in part.items() if value is not None}
    if part["type"] == "image_url":
        image = part["image_url"].items()
        plain["image_url"] = {key: value for key, value in image if value is not None}
    return plain


def images(messages: list[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """Where each image of checked messages stands, and the host it must be fetched from, if any."""
    for number, message in enumerate(messages):
        parts = message.get("content")
        if not isinstance(parts, list):
            continue
        for place, part in enumerate(parts):
            if part["type"] == "image_url":
                yield f"messages[{number}].content[{place}]", _host(part["image_url"]["url"])
