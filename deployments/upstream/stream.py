r"""Reads an upstream's event stream: bytes in, whole OpenAI events out, no I/O.

Server-sent events as in the WHATWG HTML standard, section 9.2.6: lines end in CRLF, LF or CR,
comments start with a colon, several `data` lines are one datum, a blank line ends an event.
"""

import json
from typing import Any, NamedTuple

from deployments.protocol.chunk import Usage
from deployments.protocol.errors import EngineFailure

# One event is one token, or a few; this bounds the memory that a broken upstream can take.
MAX_EVENT_BYTES = 8 * 2**20
DONE = b"[DONE]"
BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One server-sent event."""

    name: bytes
    data: bytes


class EventParser:
    """Splits bytes into events, wherever the chunks are cut."""

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        buffer = self._buffer + chunk
        if not self._started:
            if BOM.startswith(buffer):  # too short to tell
                self._buffer = buffer
                return []
            buffer = buffer.removeprefix(BOM)
            self._started = True
        held = b""
        if b"\r" in buffer:
            if buffer.endswith(b"\r"):  # half of a CRLF, perhaps
                buffer, held = buffer[:-1], b"\r"
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *blocks, rest = buffer.split(b"\n\n")
        self._buffer = rest + held
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EngineFailure("The upstream sent an event without an end.")
        return [event for block in blocks if (event := _event(block)) is not None]

    def end(self) -> list[Event]:
        """The event that a stream left without its blank line, as some servers do with [DONE]."""
        return self.feed(b"\n\n")


def _event(block: bytes) -> Event | None:
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return Event(name, b"\n".join(data)) if data else None


class UpstreamStream:
    """One streamed answer: what to pass on, whether it has begun, and its usage at the end."""

    def __init__(self, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._parser = EventParser()
        self.begun = False  # a token has come, not only the role
        self.done = False
        self.usage: Usage | None = None
        self.token_events = 0

    def feed(self, chunk: bytes) -> bytes:
        """The events to pass on, each whole.

        Raises: `EngineFailure` for what is not JSON, not an object, or an error of the upstream.
        """
        return b"".join([self._passed_on(event) for event in self._parser.feed(chunk)])

    def end(self) -> bytes:
        """What is left when the upstream closed; raises `EngineFailure` unless it had finished."""
        rest = b"".join([self._passed_on(event) for event in self._parser.end()])
        if not self.done:
            raise EngineFailure("The upstream's answer ended before it was complete.")
        return rest

    def _passed_on(self, event: Event) -> bytes:
        if self.done:
            return b""
        if event.data == DONE:
            self.done = True
            return b""
        chunk = _parsed(event)
        counted = usage_of(chunk)
        if counted is not None:
            self.usage = counted
        if _has_token(chunk):
            self.begun = True
            self.token_events += 1
        if not chunk.get("choices") and counted is not None and not self._include_usage:
            return b""
        return b"data: " + event.data.replace(b"\n", b" ") + b"\n\n"


def usage_of(answer: dict[str, Any]) -> Usage | None:
    """The token counts of a chunk or a whole answer, if it has them."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(prompt, completion)


def _parsed(event: Event) -> dict[str, Any]:
    try:
        chunk = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise EngineFailure("The upstream sent an event that is not JSON.") from error
    if event.name == b"error" or not isinstance(chunk, dict) or chunk.get("error"):
        raise EngineFailure("The upstream failed in the middle of its answer.")
    return chunk


def _has_token(chunk: dict[str, Any]) -> bool:
    """Whether a chunk carries more than the role of who speaks."""
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            raise EngineFailure("The upstream sent an event of another shape.")
        delta = choice.get("delta")
        said = delta if isinstance(delta, dict) else choice
        keys = said.keys() - {"role", "index", "logprobs", "refusal"}
        if choice.get("finish_reason") or any(said[key] for key in keys):
            return True
    return False
