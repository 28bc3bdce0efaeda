"""The items of a Responses request: who said what, and which calls were made and answered."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag

from deployments.protocol.messages import MAX_PARTS, Checked, tag
from deployments.protocol.request_mistake import branch_by, text_or_list

ItemType = Literal[
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
]
PartType = Literal["input_text", "output_text", "refusal", "input_image"]


class TextPart(Checked):
    """Text, a client's or a model's."""

    type: Literal["input_text", "output_text"]
    text: str


class RefusalPart(Checked):
    """What a model said instead of an answer."""

    type: Literal["refusal"]
    refusal: str


class ImagePart(Checked):
    """An image by its URL."""

    type: Literal["input_image"]
    image_url: str
    # Nothing is stored here that an id could name.
    file_id: None = None
    detail: str | None = None


class _UnknownPart(Checked):
    type: PartType


Part = Annotated[
    Annotated[TextPart, Tag("<input_text>")]
    | Annotated[TextPart, Tag("<output_text>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[ImagePart, Tag("<input_image>")]
    | Annotated[_UnknownPart, Tag("<unknown>")],
    Discriminator(lambda value: tag(value, "type", get_args(PartType))),
]
Parts = Annotated[list[Part], Field(max_length=MAX_PARTS, fail_fast=True)]
Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Parts, Tag("<list>")],
    branch_by(text_or_list, "it must be a string or an array of parts"),
]


class Message(Checked):
    """Somebody said something."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Content


class FunctionCall(Checked):
    """A model's call of a function."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    arguments: str


class CustomCall(Checked):
    """A model's call of a tool that takes plain text."""

    type: Literal["custom_tool_call"]
    call_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: str


class CallOutput(Checked):
    """What a tool gave back."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str = Field(min_length=1)
    output: Content


class _Summary(Checked):
    text: str


class Reasoning(Checked):
    """What a model thought; what a provider encrypted for itself is of no use to another."""

    type: Literal["reasoning"]
    content: Annotated[list[_Summary], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None
    summary: Annotated[list[_Summary], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None


class _UnknownItem(Checked):
    type: ItemType


def _item_tag(value: Any) -> str:
    """The branch of an item: a message need not say that it is one."""
    if isinstance(value, dict) and value.get("type") is None and "role" in value:
        return "<message>"
    return tag(value, "type", get_args(ItemType))


Item = Annotated[
    Annotated[Message, Tag("<message>")]
    | Annotated[FunctionCall, Tag("<function_call>")]
    | Annotated[CallOutput, Tag("<function_call_output>")]
    | Annotated[CustomCall, Tag("<custom_tool_call>")]
    | Annotated[CallOutput, Tag("<custom_tool_call_output>")]
    | Annotated[Reasoning, Tag("<reasoning>")]
    | Annotated[_UnknownItem, Tag("<unknown>")],
    Discriminator(_item_tag),
]
