"""A conversation's items as the messages of a chat.

What a model thought, said and called comes in items, and is one message of a chat; what its calls
gave back follows that message, wherever between other items it came.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import without_nulls_of
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
from deployments.protocol.responses_tools import called_custom


@dataclass(slots=True)
class _Said:
    """A message, and what the calls in it gave back."""

    message: dict[str, Any]
    results: list[dict[str, Any]] = field(default_factory=list)
    # A tool's message is text in OpenAI's chat: its pictures are shown behind the last result.
    pictures: list[dict[str, Any]] = field(default_factory=list)

    def messages(self) -> Iterator[dict[str, Any]]:
        """All of it, in the order that a chat wants."""
        yield self.message
        yield from self.results
        if self.pictures:
            yield {"role": "user", "content": self.pictures}


@dataclass(slots=True)
class _Turn:
    """What the assistant has thought, said and called since somebody else spoke."""

    content: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    # What was thought behind the words so far: the next words' own, if such follow.
    afterthoughts: list[str] = field(default_factory=list)

    def message(self) -> dict[str, Any] | None:
        """Its message; None where nothing can be read of it."""
        thought = "\n".join(text for text in (*self.thoughts, *self.afterthoughts) if text)
        if not (self.content or self.calls or thought):
            return None
        message: dict[str, Any] = {"role": "assistant"}
        if thought:
            message["reasoning"] = thought
        if self.calls:
            message["tool_calls"] = self.calls
        if self.content or not self.calls:
            plain = len(self.content) == 1 and self.content[0]["type"] == "text"
            message["content"] = self.content[0]["text"] if plain else self.content or ""
        return message


class Turns:
    """The messages so far, and the assistant's turn that is being gathered."""

    def __init__(self) -> None:
        # What stands before everything else: one message, as templates want it.
        self.preamble: list[str] = []
        self._said: list[_Said] = []
        self._called: dict[str, _Said] = {}
        self._turn: _Turn | None = None

    def add(self, item: Item, place: int) -> None:
        """Take the next item. Raises: `InvalidRequest`."""
        if isinstance(item, Message):
            self._say(item)
        elif isinstance(item, CallOutput):
            self._result(item, place)
        elif isinstance(item, Reasoning):
            turn = self._open()
            thoughts = turn.afterthoughts if turn.content else turn.thoughts
            thoughts += [part.text for part in item.content or item.summary or []]
        elif isinstance(item, FunctionCall | CustomCall):
            self._open().calls.append(_call(item))

    def messages(self) -> list[dict[str, Any]]:
        """The chat's, without the preamble."""
        self._end_turn()
        return [message for said in self._said for message in said.messages()]

    def _open(self) -> _Turn:
        self._turn = self._turn or _Turn()
        return self._turn

    def _end_turn(self) -> None:
        """The assistant's turn is over: its message joins the others."""
        turn, self._turn = self._turn, None
        message = turn.message() if turn else None
        if turn is None or message is None:
            return
        said = _Said(message)
        self._said.append(said)
        self._called |= {call["id"]: said for call in turn.calls}

    def _say(self, item: Message) -> None:
        content = item.content
        parts = [_text(content)] if isinstance(content, str) else list(map(_part, content))
        if item.role == "assistant":
            self._answer(parts)
            return
        self._end_turn()
        if item.role != "user" and not self._said and all(p["type"] == "text" for p in parts):
            self.preamble += [part["text"] for part in parts]
            return
        # Templates know no developer, and those of OpenAI's models take a system for one.
        role = "user" if item.role == "user" else "system"
        told = content if isinstance(content, str) else parts or ""
        self._said.append(_Said({"role": role, "content": told}))

    def _answer(self, parts: list[dict[str, Any]]) -> None:
        turn = self._open()
        if turn.content and not turn.calls:
            thoughts, turn.afterthoughts = turn.afterthoughts, []
            self._end_turn()
            turn = self._turn = _Turn(thoughts=thoughts)
        turn.content += parts or [_text("")]

    def _result(self, item: CallOutput, place: int) -> None:
        self._end_turn()
        said = self._called.get(item.call_id)
        if said is None:
            raise InvalidRequest(
                f"'input[{place}].call_id' names no call: the call that it answers must stand "
                "before it in 'input'.",
                f"input[{place}].call_id",
            )
        output = item.output
        parts = [_text(output)] if isinstance(output, str) else list(map(_part, output))
        told = "\n".join(part[part["type"]] for part in parts if part["type"] != "image_url")
        said.results.append({"role": "tool", "tool_call_id": item.call_id, "content": told})
        said.pictures += [part for part in parts if part["type"] == "image_url"]


def _call(item: FunctionCall | CustomCall) -> dict[str, Any]:
    if isinstance(item, CustomCall):
        arguments = called_custom(item.input)
    else:
        arguments = item.arguments or "{}"
    function = {"name": item.name, "arguments": arguments}
    return {"id": item.call_id, "type": "function", "function": function}


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
