"""The parts of a Messages request that have a shape of their own: blocks, tools, thinking.

What is a plain number or switch is checked as the chat's field that it becomes.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictInt, StrictStr, Tag

from deployments.protocol.messages import MAX_MESSAGES, MAX_PARTS, Checked, tag
from deployments.protocol.request_mistake import branch_by, text_or_list
from deployments.protocol.request_schema import MAX_STOPS, MAX_TOOLS

_BLOCKS = ("text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking")
_RESULTS = ("text", "image")
_SOURCES = ("base64", "url")


class TextBlock(Checked):
    """Text."""

    type: Literal["text"]
    text: str


class _Base64(Checked):
    type: Literal["base64"]
    media_type: str
    data: str


class _Url(Checked):
    type: Literal["url"]
    url: str


class _UnknownSource(Checked):
    # What a provider keeps under an id is not here.
    type: Literal["base64", "url"]


class ImageBlock(Checked):
    """An image."""

    type: Literal["image"]
    source: Annotated[
        Annotated[_Base64, Tag("<base64>")]
        | Annotated[_Url, Tag("<url>")]
        | Annotated[_UnknownSource, Tag("<unknown>")],
        Discriminator(lambda value: tag(value, "type", _SOURCES)),
    ]

    @property
    def url(self) -> str:
        """As chat names it."""
        source = self.source
        if isinstance(source, _Base64):
            return f"data:{source.media_type};base64,{source.data}"
        return source.url if isinstance(source, _Url) else ""


class ToolUse(Checked):
    """A model's call of a tool."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: dict[str, Any]


class _UnknownResult(Checked):
    type: Literal["text", "image"]


_Result = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[_UnknownResult, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "type", _RESULTS)),
]
_Results = Annotated[list[_Result], Field(max_length=MAX_PARTS, fail_fast=True)]


class ToolResult(Checked):
    """What a tool gave back."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: (
        Annotated[
            Annotated[str, Tag("<text>")] | Annotated[_Results, Tag("<list>")],
            branch_by(text_or_list, "it must be a string or an array of blocks"),
        ]
        | None
    ) = None
    is_error: bool | None = None


class Thinking(Checked):
    """What a model thought."""

    type: Literal["thinking"]
    thinking: str


class RedactedThinking(Checked):
    """What a provider hid of a model's thoughts: nobody else can read it."""

    type: Literal["redacted_thinking"]


class _UnknownBlock(Checked):
    type: Literal["text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"]


Block = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[ToolUse, Tag("<tool_use>")]
    | Annotated[ToolResult, Tag("<tool_result>")]
    | Annotated[Thinking, Tag("<thinking>")]
    | Annotated[RedactedThinking, Tag("<redacted_thinking>")]
    | Annotated[_UnknownBlock, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "type", _BLOCKS)),
]
Blocks = Annotated[list[Block], Field(max_length=MAX_PARTS, fail_fast=True)]


class AnthropicMessage(Checked):
    """One turn, or a part of one."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[
        Annotated[str, Tag("<text>")] | Annotated[Blocks, Tag("<list>")],
        branch_by(text_or_list, "it must be a string or an array of blocks"),
    ]


class AnthropicTool(Checked):
    """A tool that the client runs; what a provider runs or has trained, nobody knows here."""

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None


class ToolChoice(Checked):
    """Which tool to use."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(Checked):
    """Whether to think before the answer."""

    type: Literal["enabled", "adaptive", "disabled"]


class _JsonFormat(Checked):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Checked):
    """The form of the answer, and how hard to think of it."""

    effort: str | None = None
    format: _JsonFormat | None = None


class _EndUser(Checked):
    user_id: str | None = None


_System = Annotated[list[TextBlock], Field(max_length=MAX_PARTS, fail_fast=True)]


class CountTokensRequest(Checked):
    """`POST /v1/messages/count_tokens`: what a request is made of before anything is answered."""

    model: Annotated[StrictStr, Field(min_length=1)] = "auto"
    messages: Annotated[
        list[AnthropicMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    ]
    system: (
        Annotated[
            Annotated[str, Tag("<text>")] | Annotated[_System, Tag("<list>")],
            branch_by(text_or_list, "it must be a string or an array of text blocks"),
        ]
        | None
    ) = None
    tools: Annotated[list[AnthropicTool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: _JsonFormat | None = None


class MessagesRequest(CountTokensRequest):
    """`POST /v1/messages`."""

    max_tokens: Annotated[StrictInt, Field(ge=1)]
    metadata: _EndUser | None = None
    stop_sequences: Annotated[list[str], Field(max_length=MAX_STOPS, fail_fast=True)] | None = None
    stream: bool = False
