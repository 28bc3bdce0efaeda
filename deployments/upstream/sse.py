r"""Splits a byte stream into server-sent events; no I/O.

Server-sent events as in the WHATWG HTML standard, section 9.2.6: lines end in CRLF, LF or CR,
comments start with a colon, several `data` lines are one datum, a blank line ends an event.
"""

from typing import NamedTuple

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
