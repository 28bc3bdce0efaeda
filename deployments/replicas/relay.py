"""The data path of answers, at the gateway: one connection from each replica to each gateway
process, on which the frames of all streams travel together.

A streamed item of a Serve call costs the two processes a third of a millisecond. The call itself
stays open, for admission, counting, cancelling and the news of a death; its frames go over the
connection, all of an engine's step in one write. Where a replica cannot reach the gateway's port
its frames go over the call (docs/decisions/0045-answers-beside-the-call.md).

Replica to gateway: the gateway's secret once, then records of stream id, size and frame. Gateway to
replica: records of stream id and one byte, `STOP` or `GO`. The other end is `relay_links.py`.
"""

import asyncio
import hmac
import secrets
import struct
from functools import partial
from typing import Any, NamedTuple

from deployments.protocol.inbox import Inbox

RECORD = struct.Struct("<QI")
ORDER = struct.Struct("<Qc")
STOP, GO = b"s", b"g"
SECRET_BYTES = 32
# How long whoever connects may take to say the secret.
SECRET_TIMEOUT_S = 5.0
# What one slow reader may hold in a gateway before its replica is told to stop, bytes.
STOP_BYTES = 256 * 2**10
# A frame is an answer's JSON document at most.
MAX_FRAME_BYTES = 64 * 2**20


class Address(NamedTuple):
    """Where the frames of one stream go."""

    host: str
    port: int
    secret: bytes
    stream: int


class RelayPort:
    """A gateway's side: a port that replicas connect to, and the inboxes of its open streams."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._server: asyncio.Server | None = None
        self._arrivals: set[_Arrivals] = set()
        self._inboxes: dict[int, Inbox] = {}
        self._ids = iter(range(1, 2**63))
        # Streams whose replica was told to stop, and the connection to tell it to go on.
        self._stopped: dict[int, asyncio.Transport] = {}

    async def start(self) -> None:
        """Listen, on a port that the system chooses."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Arrivals(self, self._arrivals), self._host, 0
        )

    def stop(self) -> None:
        """Close the port and its connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for arrivals in list(self._arrivals):
            arrivals.close()

    def open(self, inbox: Inbox) -> Address | None:
        """Where a replica shall send an answer's frames; None before `start`."""
        if self._server is None:
            return None
        stream = next(self._ids)
        self._inboxes[stream] = inbox
        port = self._server.sockets[0].getsockname()[1]
        return Address(self._host, port, self._secret, stream)

    def close(self, stream: int) -> None:
        """Take no more frames of this stream."""
        self._inboxes.pop(stream, None)
        self._stopped.pop(stream, None)

    def read(self, stream: int) -> None:
        """The stream's inbox is empty again: let its replica go on where it was told to stop."""
        transport = self._stopped.pop(stream, None)
        if transport is not None:
            transport.write(ORDER.pack(stream, GO))

    def admits(self, secret: bytes) -> bool:
        """Whether whoever connected was told the secret."""
        return hmac.compare_digest(secret, self._secret)

    def deliver(self, stream: int, frame: bytes, transport: asyncio.Transport) -> None:
        """Put a frame into its inbox; its reader may have left."""
        inbox = self._inboxes.get(stream)
        if inbox is None:
            return
        inbox.put(frame)
        if inbox.size_bytes > STOP_BYTES and stream not in self._stopped:
            self._stopped[stream] = transport
            transport.write(ORDER.pack(stream, STOP))


class _Arrivals(asyncio.Protocol):
    """One replica's connection at the gateway."""

    def __init__(self, port: RelayPort, all_arrivals: "set[_Arrivals]") -> None:
        self._port = port
        self._all = all_arrivals
        self._buffer = b""
        self._admitted = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._all.add(self)
        ending = partial(self.close, strangers_only=True)
        asyncio.get_running_loop().call_later(SECRET_TIMEOUT_S, ending)

    def connection_lost(self, _: Exception | None) -> None:
        self._all.discard(self)

    def close(self, *, strangers_only: bool = False) -> None:
        """Close the connection, whoever has it."""
        if not (strangers_only and self._admitted):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self._admitted:
            if len(buffer) < SECRET_BYTES:
                self._buffer = buffer
                return
            if not self._port.admits(buffer[:SECRET_BYTES]):
                self._transport.abort()
                return
            self._admitted, at = True, SECRET_BYTES
        while len(buffer) - at >= RECORD.size:
            stream, size = RECORD.unpack_from(buffer, at)
            end = at + RECORD.size + size
            if size > MAX_FRAME_BYTES:
                self._transport.abort()
                return
            if end > len(buffer):
                break
            self._port.deliver(stream, buffer[at + RECORD.size : end], self._transport)
            at = end
        self._buffer = buffer[at:]
