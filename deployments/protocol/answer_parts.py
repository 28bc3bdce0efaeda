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

from deployments.protocol import answer_pieces as pieces
from deployments.protocol.answer_pieces import Kind
from deployments.protocol.call_order import CallOrder


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
    begun: bool = False
    # How many pieces `whole` has looked at, and what it found.
    _seen: tuple[int, bool] = (0, False)

    @property
    def text(self) -> str:
        """All that it has said; of a tool call the arguments, as JSON."""
        return "".join(self.said)

    @property
    def whole(self) -> bool:
        """Whether nothing can follow once another part has begun."""
        if self.kind != "call":
            return True
        if self._seen[0] != len(self.said):
            self._seen = (len(self.said), _is_json(self.text))
        return self._seen[1] and bool(self.name)


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
        self._calls: list[Part] = []
        self._order = CallOrder()

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
            told = pieces.fields(orjson.loads(raw))
            model = told.get("model")
            self.model = model if isinstance(model, str) and model else self.model
            self.usage = pieces.usage(told.get("usage")) or self.usage
            for choice in pieces.objects(told.get("choices")):
                self.finish_reason = pieces.text(choice.get("finish_reason")) or self.finish_reason
                stop = choice.get("stop_reason")
                self.stop = stop if isinstance(stop, str) else self.stop
                yield from self._said(pieces.fields(choice.get(key)), choice.get("logprobs"))
        except (ValueError, TypeError):
            raise pieces.malformed() from None

    def _said(self, delta: dict[str, Any], logprobs: Any) -> Iterator[Step]:
        tokens = pieces.logprobs(logprobs)
        for kind, text in pieces.said(delta):
            values, tokens = (tokens, []) if kind == "text" else ([], tokens)
            yield from self._more(self._part(kind), text, values)
        for place, call in enumerate(pieces.objects(delta.get("tool_calls"))):
            yield from self._called(place, call)

    def _part(self, kind: Kind) -> Part:
        """The part that goes on: the last one, where it is of this kind."""
        if self._open and self._open[-1].kind == kind:
            return self._open[-1]
        return self._begin(Part(kind, len(self.parts)))

    def _called(self, place: int, call: dict[str, Any]) -> Iterator[Step]:
        function, call_id = pieces.fields(call.get("function")), pieces.text(call.get("id"))
        name = pieces.text(function.get("name"))
        number = self._order.number(place, call, lambda number: self._calls[number].whole)
        if number == len(self._calls):
            self._calls.append(self._begin(Part("call", len(self.parts))))
        part = self._calls[number]
        part.name, part.call_id = part.name or name, part.call_id or call_id
        yield from self._more(part, pieces.arguments(function.get("arguments")), [])

    def _begin(self, part: Part) -> Part:
        self.parts.append(part)
        self._open.append(part)
        return part

    def _more(self, part: Part, text: str, logprobs: list[dict[str, Any]]) -> Iterator[Step]:
        part.said.append(text)
        part.logprobs += logprobs
        if self._open and self._open[0] is part:
            if not part.begun:
                yield from self._told(part)
            elif text:
                yield Step("more", part, text, logprobs)
        while len(self._open) > 1 and self._open[0].whole:
            yield from self._next()

    def _told(self, part: Part) -> Iterator[Step]:
        """Begin a part with what it has said so far; a call, once it is known what it calls."""
        if part.kind != "call" or part.name:
            part.begun = True
            if part.kind == "call":
                part.call_id = part.call_id or f"call_{uuid4().hex}"
            yield Step("open", part)
            if part.text:
                yield Step("more", part, part.text, part.logprobs)

    def _next(self) -> Iterator[Step]:
        """End the first part, and tell what the one behind it has said while it waited."""
        part = self._open.pop(0)
        if not part.begun:
            raise pieces.malformed()
        yield Step("close", part)
        if self._open:
            yield from self._told(self._open[0])


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
