"""The data path beside the call: in order, bounded, guarded, and the call where there is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from deployments.protocol.errors import EngineFailure, ReplicaUnavailable
from deployments.protocol.inbox import Inbox
from deployments.replicas import relay, relay_links
from deployments.replicas.relay import RECORD, SECRET_BYTES, Address, RelayPort
from deployments.replicas.relay_links import RelayLinks


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[RelayPort, RelayLinks]]:
    port, links = RelayPort("127.0.0.1"), RelayLinks()
    await port.start()
    yield port, links
    links.close()
    port.stop()
    await asyncio.sleep(0.01)


def opened(port: RelayPort) -> tuple[Inbox, Address]:
    inbox = Inbox()
    address = port.open(inbox)
    assert address is not None
    return inbox, address


async def taken(inbox: Inbox, count: int) -> list[bytes]:
    frames: list[bytes] = []
    async with asyncio.timeout(5):
        while len(frames) < count:
            frames += await inbox.take()
    return frames


async def test_each_stream_gets_its_own_frames_in_order_over_one_connection() -> None:
    async with connected() as (port, links):
        streams = [opened(port) for _ in range(50)]
        sent = [[bytes([i]) * size for size in (1, 70_000, 3)] for i in range(len(streams))]

        async def send(address: Address, frames: list[bytes]) -> None:
            link = await links.to(address)
            assert link is not None
            for frame in frames:
                await link.send(address.stream, frame)
                await asyncio.sleep(0)

        await asyncio.gather(*(send(s[1], f) for s, f in zip(streams, sent, strict=True)))
        assert [await taken(inbox, 3) for inbox, _ in streams] == sent
        assert len(links._links) == 1


async def test_frames_for_a_stream_that_was_closed_are_dropped() -> None:
    async with connected() as (port, links):
        (left, gone), (inbox, address) = opened(port), opened(port)
        port.close(gone.stream)
        link = await links.to(address)
        assert link is not None
        await link.send(gone.stream, b"late")
        await link.send(address.stream, b"1")
        assert await taken(inbox, 1) == [b"1"]
        assert not left.begun


async def test_a_slow_reader_stops_its_own_replica_and_nobody_else() -> None:
    async with connected() as (port, links):
        (slow, address), (quick, other) = opened(port), opened(port)
        link = await links.to(address)
        assert link is not None
        frame, sent = bytes(10_000), 0

        async def flood() -> None:
            nonlocal sent
            for sent in range(1, 1001):  # noqa: B007  # read outside
                await link.send(address.stream, frame)
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        while address.stream not in link._stopped:  # noqa: ASYNC110  # a table, and no event
            await asyncio.sleep(0.001)
        await link.send(other.stream, b"1")
        assert await taken(quick, 1) == [b"1"]
        assert slow.size_bytes > relay.STOP_BYTES and sent < 1000
        read = 0
        while read < 1000:
            read += len(await slow.take())
            port.read(address.stream)
        await flooding


async def test_a_reader_that_takes_nothing_costs_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_links, "SEND_TIMEOUT_S", 0.05)
    async with connected() as (port, links):
        _, address = opened(port)
        link = await links.to(address)
        assert link is not None
        with pytest.raises(EngineFailure, match="took nothing"):
            for _ in range(200):
                await link.send(address.stream, bytes(10_000))
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("secret", [bytes(SECRET_BYTES), b"short", b""])
async def test_whoever_does_not_know_the_secret_is_not_heard(
    secret: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "SECRET_TIMEOUT_S", 0.05 if not secret else 60.0)
    async with connected() as (port, _):
        inbox, address = opened(port)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        frame = b"forged"
        if secret:
            writer.write(secret + RECORD.pack(address.stream, len(frame)) + frame)
            writer.write(bytes(64))
        assert await asyncio.wait_for(_rest(reader), 5) == b""
        assert not inbox.begun
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_a_gateway_that_cannot_be_reached_is_not_asked_again_for_a_while() -> None:
    async with connected() as (port, links):
        _, address = opened(port)
        port.stop()
        assert await links.to(address) is None
        assert await links.to(address) is None
        assert len(links._links) == 1


async def test_a_connection_that_breaks_is_an_error_and_the_next_answer_gets_a_new_one() -> None:
    async with connected() as (port, links):
        _, address = opened(port)
        link = await links.to(address)
        assert link is not None
        link._transport.abort()
        await asyncio.sleep(0.01)
        with pytest.raises(ReplicaUnavailable, match="broke"):
            await link.send(address.stream, b"1")
        inbox, address = opened(port)
        again = await links.to(address)
        assert again is not None
        await again.send(address.stream, b"2")
        assert await taken(inbox, 1) == [b"2"]


async def test_an_inbox_gives_what_came_before_an_error_and_nothing_after() -> None:
    inbox = Inbox()
    inbox.put(b"1")
    inbox.fail(ReplicaUnavailable("first"))
    inbox.fail(EngineFailure("second"))
    inbox.put(b"2")
    assert await inbox.take() == [b"1"]
    for _ in range(2):
        with pytest.raises(ReplicaUnavailable, match="first"):
            await inbox.take()


async def test_a_port_that_does_not_listen_gives_no_address() -> None:
    inbox: Any = Inbox()
    assert RelayPort("127.0.0.1").open(inbox) is None
