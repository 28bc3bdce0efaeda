"""Reads one streamed answer of an upstream: what to pass on, whether it has begun, is whole, and
what it cost. Bytes in, whole OpenAI events (or one document) out, no I/O.
"""

import json
from typing import Any, NamedTuple

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import EngineFailure
from deployments.upstream.assembly import Assembly, number_of
from deployments.upstream.errors import refusal_inside
from deployments.upstream.plain_json import PlainJson
from deployments.upstream.provider_error import error_in, failure_in
from deployments.upstream.sse import DONE, Event, EventParser
from deployments.upstream.usage import Meter

# More than any model's longest answer with all its log-probabilities; bounds the memory that a
# broken upstream can take.
MAX_ANSWER_BYTES = 64 * 2**20
# In a delta beside what is said.
UNSAID = frozenset({"role", "name", "index", "id", "type", "logprobs"})
# Events of relays that keep a connection open; of an answer's own some servers name each.
IDLE = frozenset({b"ping", b"heartbeat", b"keepalive", b"keep-alive"})


class Piece(NamedTuple):
    """What some events of an answer come to."""

    data: bytes = b""
    content: bool = False
    finish_reason: str | None = None

    def then(self, more: "Piece") -> "Piece":
        """Both, as one."""
        return Piece(
            self.data + more.data,
            self.content or more.content,
            more.finish_reason or self.finish_reason,
        )


class UpstreamStream:
    """One streamed answer: passed on event by event, or put together where `request` wants JSON."""

    def __init__(self, request: EngineRequest) -> None:
        self._include_usage = request.include_usage
        self._expected = _choices_asked(request.body)
        self._assembly = None if request.stream else Assembly()
        self._parser = EventParser()
        self._json = PlainJson()
        self._ended: dict[int, bool] = {}  # by choice
        self._last: dict[str, Any] = {}
        self._bytes = 0
        self.meter = Meter(request.body)
        self.begun = False  # a token has come, not only the role
        self.done = False  # [DONE] has come

    @property
    def finished(self) -> bool:
        """Whether every choice has its finish reason: what may still follow is the usage."""
        return len(self._ended) >= self._expected and all(self._ended.values())

    def feed(self, chunk: bytes) -> Piece:
        """What to pass on, whole events only; nothing where the client wants one document.

        Raises: `EngineFailure` for what is not JSON, not an object, or without an end; for an
        error that stands in place of an answer, what it means.
        """
        self._bytes += len(chunk)
        if self._assembly is not None and self._bytes > MAX_ANSWER_BYTES:
            raise EngineFailure("The upstream's answer is too large.")
        return self._taken(self._parser.feed(chunk))

    def end(self) -> Piece:
        """What is left when no more comes: the usage, if asked for, or the document.

        Raises: `EngineFailure` unless the answer is whole.
        """
        rest = self._taken(self._parser.end())
        if not (self.done or self.finished):
            raise EngineFailure("The upstream's answer ended before it was complete.")
        if not self.begun:
            raise EngineFailure("The upstream gave no answer.")
        if self._assembly is not None:
            return rest.then(Piece(self._assembly.document(self.meter.object())))
        if self._include_usage:
            return rest.then(
                Piece(_event(self._last | {"choices": [], "usage": self.meter.object()}))
            )
        return rest

    def _taken(self, events: list[Event]) -> Piece:
        passed_on: list[bytes] = []
        content, reason = False, None
        for event in events:
            data = event.data.strip()
            if not data or event.name in IDLE:
                continue
            # After a whole answer anything but an object is an end too.
            self.done |= data == DONE or (self.finished and not data.startswith(b"{"))
            if self.done:
                break
            chunk, plain = self._parsed(event)
            said, ended = self._note(chunk)
            content, reason = content or said, ended or reason
            passed_on.append(self._passed_on(plain, chunk))
        return Piece(b"".join(passed_on), content, reason)

    def _note(self, chunk: dict[str, Any]) -> tuple[bool, str | None]:
        """Keep account of what has come: whether it says something, and its last finish reason."""
        content, reason = False, None
        for choice in _choices(chunk):
            ended = choice.get("finish_reason")
            if ended:
                reason = str(ended)
            content = content or says(choice)
            number = number_of(choice)
            self._ended[number] = bool(ended) or self._ended.get(number, False)
        self.begun = self.begun or content or reason is not None
        self.meter.token_events += content
        return content, reason

    def _passed_on(self, plain: bytes, chunk: dict[str, Any]) -> bytes:
        """What of the event goes to the client."""
        usage = chunk.get("usage")
        if usage is not None:
            self.meter.take(usage)
        if self._assembly is not None:
            self._assembly.add(chunk)
            return b""
        if not chunk.get("choices"):
            return b""  # Azure's verdict on the prompt, or the usage, which is said at the end
        self._last = chunk
        if usage is not None:
            return _event({key: value for key, value in chunk.items() if key != "usage"})
        return b"data: " + plain.replace(b"\n", b" ") + b"\n\n"

    def _parsed(self, event: Event) -> tuple[dict[str, Any], bytes]:
        try:
            chunk, plain = self._json.read(event.data)
        except (ValueError, RecursionError) as error:
            raise EngineFailure("The upstream sent an event that is not JSON.") from error
        failure = error_in(chunk) if event.name == b"error" else failure_in(chunk)
        if failure and not self.begun:
            raise refusal_inside(failure)
        if failure or not isinstance(chunk, dict):
            raise EngineFailure("The upstream failed in the middle of its answer.")
        return chunk, plain


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    choices = chunk.get("choices") or []
    if isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices):
        return choices
    raise EngineFailure("The upstream sent an event of another shape.")


def _choices_asked(body: dict[str, Any]) -> int:
    """How many choices the answer has: `n` for each prompt."""
    prompt, n = body.get("prompt"), body.get("n")
    several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return (n if type(n) is int else 1) * (len(prompt) if several and prompt else 1)


def says(choice: dict[str, Any]) -> bool:
    """Whether a choice carries more than who speaks: text, reasoning, a refusal, a tool call."""
    said = choice.get("delta", choice.get("message"))
    if isinstance(said, dict):
        for key, value in said.items():
            if value and key not in UNSAID:
                return True
    return bool(choice.get("text"))
