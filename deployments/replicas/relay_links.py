"""The data path of answers, at the replica: its connections to gateways (`relay.py`)."""

import asyncio
import logging
import socket
from typing import Any

from deployments.protocol.errors import EngineFailure, ReplicaUnavailable
from deployments.replicas.relay import ORDER, RECORD, STOP, Address

log = logging.getLogger("ray.serve")

# How long a replica waits for a gateway's port, and until it asks again where it got no answer.
CONNECT_TIMEOUT_S = 1.0
ASK_AGAIN_S = 60.0
# How long a replica keeps an answer for a reader that takes nothing of it.
SEND_TIMEOUT_S = 60.0
# After this long without an acknowledgement the kernel gives a connection up.
DEAD_PEER_MS = 10_000


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

        Raises: `EngineFailure` where the reader does not; `ReplicaUnavailable` without connection.
        """
        if stream in self._stopped or not self._may_write.is_set():
            await self._wait_for_reader(stream)
        if self.broken:
            raise ReplicaUnavailable("The connection to the gateway broke.")
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
