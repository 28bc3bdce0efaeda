"""The data path of answers: one connection from each replica to each gateway process, on which the
frames of all streams travel together.

A streamed item of a Serve call costs the two processes a third of a millisecond. The call itself
stays open, for admission, counting, cancelling and the news of a death; its frames go over the
connection, all of an engine's step in one write. Where a replica cannot reach the gateway's port
its frames go over the call (docs/decisions/0045-answers-beside-the-call.md).

Replica to gateway: the gateway's secret once, then records of stream id, size and frame. Gateway to
replica: records of stream id and one byte, `STOP` or `GO`.
"""

import asyncio
import hmac
import logging
import secrets
import socket
import struct
from functools import partial
from typing import Any, NamedTuple

from deployments.protocol.errors import EngineFailure
from deployments.protocol.inbox import Inbox

log = logging.getLogger("ray.serve")

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
# How long a replica waits for a gateway's port, and until it asks again where it got no answer.
CONNECT_TIMEOUT_S = 1.0
ASK_AGAIN_S = 60.0
# How long a replica keeps an answer for a reader that takes nothing of it.
SEND_TIMEOUT_S = 60.0
# After this long without an acknowledgement the kernel gives a connection up.
DEAD_PEER_MS = 10_000


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


class RelayLinks:
    """A replica's side: its connections to gateways."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, int, bytes], asyncio.Task[_Link | None]] = {}

    async def to(self, address: Address) -> "_Link | None":
        """The connection to a gateway, made where there is none; None where it cannot be."""
        key = (address.host, address.port, address.secret)
        if (task := self._links.get(key)) is None:
            task = self._links[key] = asyncio.create_task(self._connect(key))
        link = task.result() if task.done() else await asyncio.shield(task)
        return link if link is not None and not link.broken else None

    async def _connect(self, key: tuple[str, int, bytes]) -> "_Link | None":
        host, port, secret = key
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, link = await loop.create_connection(
                    lambda: _Link(lambda: self._links.pop(key, None)), host, port
                )
        except OSError:  # a time-out is one
            log.warning("relay: no connection to the gateway; answers go over the call")
            loop.call_later(ASK_AGAIN_S, self._links.pop, key, None)
            return None
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
        transport.write(secret)
        return link

    def close(self) -> None:
        """Close all connections."""
        for task in list(self._links.values()):
            if task.done() and (link := task.result()) is not None:
                link.close()


class _Link(asyncio.Protocol):
    """One gateway's connection at the replica: what one turn of the loop sends is one write."""

    def __init__(self, lost: Any) -> None:
        self.broken = False
        self._lost = lost
        self._records: list[bytes] = []
        self._orders = b""
        self._transport: Any = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._stopped: dict[int, asyncio.Event] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.broken = True
        self._lost()
        self._may_write.set()
        for gate in self._stopped.values():
            gate.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        orders = self._orders + data
        whole = len(orders) - len(orders) % ORDER.size
        for stream, order in ORDER.iter_unpack(orders[:whole]):
            if order == STOP:
                self._stopped.setdefault(stream, asyncio.Event())
            elif gate := self._stopped.pop(stream, None):
                gate.set()
        self._orders = orders[whole:]

    async def send(self, stream: int, frame: bytes) -> None:
        """Send a frame, once its reader and the connection take it.

        Raises: `EngineFailure` where they do not.
        """
        if stream in self._stopped or not self._may_write.is_set():
            await self._wait_for_reader(stream)
        if self.broken:
            raise EngineFailure("The connection to the gateway broke.")
        if not self._records:
            asyncio.get_running_loop().call_soon(self._flush)
        self._records += (RECORD.pack(stream, len(frame)), frame)

    async def _wait_for_reader(self, stream: int) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                if gate := self._stopped.get(stream):
                    await gate.wait()
                await self._may_write.wait()
        except TimeoutError:
            raise EngineFailure("The client took nothing of its answer for too long.") from None

    def forget(self, stream: int) -> None:
        """The stream is over, read to its end or not."""
        self._stopped.pop(stream, None)

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._records and not self.broken:
            self._transport.write(b"".join(self._records))
        self._records.clear()
