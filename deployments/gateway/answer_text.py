"""What an answer says, read from the client's own bytes: for what is held only."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from answer_check.refusal import spoken
from answer_check.repetition import BLANK_CHARS, is_blank
from deployments.protocol import answer_pieces as pieces
from deployments.protocol.call_order import CallOrder
from deployments.protocol.errors import EngineFailure


@dataclass(slots=True)
class Call:
    """One tool call, as far as it came."""

    name: str = ""
    arguments: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it has its name and all its arguments."""
        try:
            orjson.loads(self.arguments)
        except ValueError:
            return False
        return bool(self.name)


@dataclass(slots=True)
class Choice:
    """One alternative of an answer, as far as it came."""

    text: str = ""
    refusal: str = ""
    # Reasoning and the like: said, but no answer.
    thinks: bool = False
    calls: dict[int, Call] = field(default_factory=dict)
    order: CallOrder = field(default_factory=CallOrder)
    finish_reason: str | None = None

    @property
    def says_something(self) -> bool:
        """Whether there is anything for the client but white space and thoughts aloud."""
        shown = self.refusal or self.calls or self.thinks
        return bool(shown) or not is_blank(spoken(self.text))

    @property
    def is_blank(self) -> bool:
        """Whether it is white space without end: a generation that no limit would end."""
        return len(spoken(self.text)) >= BLANK_CHARS and not self.says_something


class Said:
    """All choices of one answer, put together from its events or its document."""

    def __init__(self) -> None:
        self.choices: dict[int, Choice] = {}

    def take(self, data: bytes, stream: bool) -> None:
        """Add what a chunk's bytes say. What is not OpenAI's shape says nothing."""
        for event in _events(data) if stream else [data]:
            for given in _choices(event):
                at = given.get("index")
                choice = self.choices.setdefault(at if isinstance(at, int) else 0, Choice())
                _add(choice, given)


def _events(data: bytes) -> Iterator[bytes]:
    for event in data.split(b"\n\n"):
        if event.startswith(b"data: "):
            yield event[6:]


def _choices(event: bytes) -> list[dict[str, Any]]:
    try:
        parsed = orjson.loads(event)
    except ValueError:
        return []
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    return [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []


def _add(choice: Choice, given: dict[str, Any]) -> None:
    said = given.get("delta") or given.get("message") or {"content": given.get("text")}
    with suppress(EngineFailure):  # who tells the answer to its client will say so
        for kind, text in pieces.said(pieces.fields(said)):
            choice.text += text if kind == "text" else ""
            choice.refusal += text if kind == "refusal" else ""
            choice.thinks = choice.thinks or kind == "reasoning"
        for at, call in enumerate(pieces.objects(pieces.fields(said).get("tool_calls"))):
            _add_call(choice, at, call)
    reason = given.get("finish_reason")
    choice.finish_reason = str(reason) if reason else choice.finish_reason


def _add_call(choice: Choice, at: int, given: dict[str, Any]) -> None:
    number = choice.order.number(at, given, lambda number: choice.calls[number].is_whole)
    call = choice.calls.setdefault(number, Call())
    function = pieces.fields(given.get("function"))
    call.name = call.name or pieces.text(function.get("name"))
    call.arguments += pieces.arguments(function.get("arguments"))
