"""What an answer says, read from the client's own bytes: for what is held only."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from answer_check.refusal import spoken
from answer_check.repetition import BLANK_CHARS, is_blank


@dataclass(slots=True)
class Call:
    """One tool call, as far as it came."""

    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Choice:
    """One alternative of an answer, as far as it came."""

    text: str = ""
    refusal: str = ""
    # Reasoning and the like: said, but no answer.
    thinks: bool = False
    calls: dict[int, Call] = field(default_factory=dict)
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
    if isinstance(said, dict):
        choice.text += _text(said.get("content"))
        choice.refusal += _text(said.get("refusal"))
        thought = _text(said.get("reasoning_content")) or _text(said.get("reasoning"))
        choice.thinks = choice.thinks or bool(thought)
        for at, call in enumerate(_list(said.get("tool_calls"))):
            _add_call(choice, at, call)
    choice.finish_reason = given.get("finish_reason") or choice.finish_reason


def _add_call(choice: Choice, at: int, given: Any) -> None:
    if not isinstance(given, dict):
        return
    number = given.get("index", at)
    call = choice.calls.setdefault(number if isinstance(number, int) else at, Call())
    function = given.get("function")
    if isinstance(function, dict):
        call.name += _text(function.get("name"))
        call.arguments += _text(function.get("arguments"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
