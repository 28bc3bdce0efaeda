"""A Responses request: its tools, its format and the whole; its items are next door.

What is a plain number or switch is checked as the chat's field that it becomes.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)

from deployments.protocol.messages import MAX_MESSAGES, Checked, tag
from deployments.protocol.request_mistake import branch_by, must, text_or_list, text_or_object
from deployments.protocol.request_objects import labels
from deployments.protocol.request_schema import MAX_TOOLS
from deployments.protocol.responses_items import Item

_FORMATS = ("text", "json_object", "json_schema")
_TOOLS = ("function", "custom")
_CHOICES = ("function", "custom", "allowed_tools")
Words = Literal["none", "auto", "required"]


class FunctionTool(Checked):
    """A function that the client runs."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Free(Checked):
    # A grammar would have to bind the answer, and a call's arguments are bound by a schema here.
    type: Literal["text"] = "text"


class CustomTool(Checked):
    """A tool of the client's that takes plain text."""

    type: Literal["custom"]
    name: str
    description: str | None = None
    format: _Free | None = None


class _UnknownTool(Checked):
    # What a provider runs (search, code, MCP) nobody runs here.
    type: Literal["function", "custom"]


Tool = Annotated[
    Annotated[FunctionTool, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[_UnknownTool, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "type", _TOOLS)),
]


class NamedTool(Checked):
    """One tool, by its name."""

    type: Literal["function", "custom"]
    name: str


class AllowedTools(Checked):
    """Some of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)]


class _UnknownChoice(Checked):
    type: Literal["function", "custom", "allowed_tools"]


_Choice = Annotated[
    Annotated[NamedTool, Tag("<function>")]
    | Annotated[NamedTool, Tag("<custom>")]
    | Annotated[AllowedTools, Tag("<allowed_tools>")]
    | Annotated[_UnknownChoice, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "type", _CHOICES)),
]
Choice = Annotated[
    Annotated[Words, Tag("<text>")] | Annotated[_Choice, Tag("<object>")],
    branch_by(text_or_object, "it must be 'none', 'auto', 'required' or a tool"),
]


class _Format(Checked):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.type == "json_schema" and (self.name is None or self.schema_ is None):
            raise must("a 'json_schema' must have a 'name' and a 'schema'")
        return self


class TextConfig(Checked):
    """The form of the answer's text."""

    format: _Format | None = None
    verbosity: str | None = None


class ReasoningConfig(Checked):
    """How hard to think."""

    effort: str | None = None


class ResponsesRequest(Checked):
    """`POST /v1/responses`."""

    model: Annotated[StrictStr, Field(min_length=1)] = "auto"
    input: Annotated[
        Annotated[Annotated[str, Field(min_length=1)], Tag("<text>")]
        | Annotated[
            Annotated[list[Item], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)],
            Tag("<list>"),
        ],
        branch_by(text_or_list, "it must be a string or an array of items"),
    ]
    instructions: str | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: Choice | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: Annotated[list[str], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    stream: bool = False
    # What the answer repeats must be of its type.
    metadata: Annotated[dict[str, Any], BeforeValidator(labels)] | None = None
    store: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    max_tool_calls: Annotated[StrictInt, Field(ge=1)] | None = None
