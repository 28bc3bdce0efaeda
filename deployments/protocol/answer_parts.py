"""A chat's answer as parts, each begun, said and ended before the next: what the APIs with typed
items are told from.

Chat deltas carry reasoning, text, a refusal and several tool calls side by side; the other APIs
want them one after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import orjson

from deployments.protocol.errors import EngineFailure

Kind = Literal["reasoning", "text", "refusal", "call"]
# The keys of a message or a delta, as OpenAI's servers, vLLM and others spell them.
_SAID: tuple[tuple[str, Kind], ...] = (
    ("reasoning", "reasoning"),
    ("reasoning_content", "reasoning"),
    ("content", "text"),
    ("refusal", "refusal"),
)


@dataclass(slots=True)
class Part:
    """One part of an answer, so far."""

    kind: Kind
    index: int
    # Of a tool call.
    name: str = ""
    call_id: str = ""
    said: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def text(self) -> str:
        """All that it has said; of a tool call the arguments, as JSON."""
        return "".join(self.said)

    @property
    def whole(self) -> bool:
        """Whether nothing can follow once another part has begun."""
        return self.kind != "call" or _is_json(self.text)


class Step(NamedTuple):
    """What happens to a part."""

    what: Literal["open", "more", "close"]
    part: Part
    text: str = ""
    logprobs: Sequence[dict[str, Any]] = ()


class AnswerParts:
    """Reads one choice of a chat answer, events or document, and tells its parts in order.

    The first unfinished part is told as it comes; those behind it wait until it is whole, because
    some servers send the arguments of several calls by turns.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.model = ""
        self.finish_reason: str | None = None
        # The stop sequence that ended the answer, where the engine says so (vLLM does).
        self.stop: str | None = None
        self.usage: dict[str, Any] = {}
        self._open: list[Part] = []
        self._calls: dict[int, Part] = {}

    def events(self, events: bytes) -> Iterator[Step]:
        """The steps in whole server-sent events. Raises: `EngineFailure`."""
        for line in events.split(b"\n"):
            if line.startswith(b"data:"):
                yield from self._read(line[5:], "delta")

    def document(self, document: bytes) -> None:
        """Take a whole document. Raises: `EngineFailure`."""
        for _ in (*self._read(document, "message"), *self.end()):
            pass

    def end(self) -> Iterator[Step]:
        """The steps that are left when the answer is over."""
        while self._open:
            yield from self._next()

    def _read(self, raw: bytes, key: Literal["delta", "message"]) -> Iterator[Step]:
        try:
            told = orjson.loads(raw)
            self.model = told.get("model") or self.model
            self.usage = told.get("usage") or self.usage
            for choice in told.get("choices") or []:
                self.finish_reason = choice.get("finish_reason") or self.finish_reason
                stop = choice.get("stop_reason")
                self.stop = stop if isinstance(stop, str) else self.stop
                yield from self._said(choice.get(key) or {}, choice.get("logprobs") or {})
        except (ValueError, AttributeError, TypeError, KeyError):
            raise EngineFailure("The model's answer is malformed.") from None

    def _said(self, delta: dict[str, Any], logprobs: dict[str, Any]) -> Iterator[Step]:
        known: set[Kind] = set()
        for key, kind in _SAID:
            # Some servers say their reasoning under both names.
            if (text := delta.get(key)) and kind not in known:
                known.add(kind)
                values = logprobs.get("content") or [] if kind == "text" else []
                yield from self._more(self._part(kind), text, values)
        for place, call in enumerate(delta.get("tool_calls") or []):
            index = call.get("index")
            yield from self._called(place if index is None else index, call)

    def _part(self, kind: Kind) -> Part:
        """The part that goes on: the last one, where it is of this kind."""
        if self._open and self._open[-1].kind == kind:
            return self._open[-1]
        return self._begin(Part(kind, len(self.parts)))

    def _called(self, index: int, call: dict[str, Any]) -> Iterator[Step]:
        function = call.get("function") or {}
        part = self._calls.get(index)
        if part is None:
            call_id = call.get("id") or f"call_{uuid4().hex}"
            part = Part("call", len(self.parts), function.get("name") or "", call_id)
            self._calls[index] = self._begin(part)
            if self._open[0] is part:
                yield Step("open", part)
        yield from self._more(part, function.get("arguments") or "", [])

    def _begin(self, part: Part) -> Part:
        self.parts.append(part)
        self._open.append(part)
        return part

    def _more(self, part: Part, text: str, logprobs: list[dict[str, Any]]) -> Iterator[Step]:
        begun = bool(part.said) or part.kind == "call"
        part.said.append(text)
        part.logprobs += logprobs
        if self._open and self._open[0] is part:
            if not begun:
                yield Step("open", part)
            if text:
                yield Step("more", part, text, logprobs)
        while len(self._open) > 1 and self._open[0].whole:
            yield from self._next()

    def _next(self) -> Iterator[Step]:
        """End the first part, and tell what the one behind it has said while it waited."""
        yield Step("close", self._open.pop(0))
        if self._open:
            part = self._open[0]
            yield Step("open", part)
            if part.text:
                yield Step("more", part, part.text, part.logprobs)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
