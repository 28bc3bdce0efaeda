"""An answer from a replica to its gateway: beside the call where there is a way, else over it."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import EngineFailure, Overloaded, ReplicaUnavailable, ServingError
from deployments.replicas import answer as answers
from deployments.replicas.health import TierHealth
from deployments.replicas.relay import STOP_BYTES, RelayPort
from deployments.replicas.tier_client import TierClient
from deployments.settings.app import TierConfig
from tests.fakes import FakeHandle, LocalTier, local_tier

BODY = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, "stream": True}
REQUEST = EngineRequest("chat", BODY, "r1")
FOREVER = 1e9


class Counting:
    """A replica's `generate`; the frames and items that it yields over the call are counted."""

    def __init__(self, tier: LocalTier) -> None:
        self._tier = tier
        self.over_the_call = self.items = 0

    async def generate(self, asked: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        async for frame in self._tier.generate(asked):
            self.over_the_call += bool(frame)
            self.items += 1
            yield frame


@asynccontextmanager
async def way(**engine: Any) -> AsyncIterator[tuple[TierClient, Counting, LocalTier, RelayPort]]:
    """A gateway's client, a replica's call, the replica, and the gateway's port."""
    described = {"kind": "simulated", "first_token_delay_s": 0, "inter_token_delay_s": 0.005}
    tier = await local_tier(
        TierConfig.model_validate({"model": "m", "engine": {**described, **engine}})
    )
    call, port = Counting(tier), RelayPort("127.0.0.1")
    await port.start()
    health = TierHealth(dict, 1.0, frozenset())
    handle: Any = FakeHandle(call.generate)
    yield TierClient("small", handle, health, port), call, tier, port
    await tier.end()
    port.stop()
    await asyncio.sleep(0.01)


async def read(client: TierClient) -> tuple[list[Chunk], ServingError | None]:
    """The chunks of one answer, and the error that ended it."""
    chunks: list[Chunk] = []
    try:
        answer = await client.open(REQUEST, FOREVER)
        async for chunk in answer:
            chunks.append(chunk)  # noqa: PERF401  # what came before an error counts
        await answer.close()
    except ServingError as error:
        return chunks, error
    return chunks, None


def text(chunks: list[Chunk]) -> bytes:
    """The answer without the second in which it was made."""
    return re.sub(rb'"created":\d+', b"", b"".join(chunk.data for chunk in chunks))


async def test_an_answer_is_the_same_on_both_ways() -> None:
    async with way() as (client, call, _, port):
        beside, error = await read(client)
        assert error is None and call.over_the_call == 0
        port.stop()
        await asyncio.sleep(0.01)
        over, error = await read(client)
        assert error is None and call.over_the_call > 0
    assert text(beside) == text(over)
    assert (beside[-1].usage, beside[0].model, beside[-1].done) == (Usage(5, 20), "m", True)


async def test_many_answers_at_once_keep_apart() -> None:
    async with way(max_num_seqs=64) as (client, call, _, _port):
        alone, _ = await read(client)
        many = await asyncio.gather(*(read(client) for _ in range(40)))
    assert call.over_the_call == 0
    assert {text(chunks) for chunks, _ in many} == {text(alone)}


@pytest.mark.parametrize("faults", [[], [{"fault": "refuse_429"}]], ids=["answers", "refuses"])
async def test_a_call_beside_its_frames_has_one_item(faults: list[dict[str, str]]) -> None:
    """gRPC may lose what Serve reads of a call that ends without any (0045)."""
    async with way(faults=faults) as (client, call, _, _port):
        chunks, error = await read(client)
        await asyncio.sleep(0.01)  # the call ends after its last frame
    assert (call.over_the_call, call.items) == (0, 1)
    assert bool(chunks) is not bool(faults)
    assert error is None or (type(error) is Overloaded and faults)


@pytest.mark.parametrize("stops", ["reads on", "leaves"])
async def test_a_slow_reader_stops_its_own_replica_also_over_the_call(stops: str) -> None:
    made = 0

    async def long(_: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        nonlocal made
        for made in range(1, 101):
            yield wire.encode(Chunk(bytes(10_000), Usage(1, made), content=True, done=made == 100))
            await asyncio.sleep(0)

    handle: Any = FakeHandle(long)
    client = TierClient("small", handle, TierHealth(dict, 1.0, frozenset()), None)
    answer = await client.open(REQUEST, FOREVER)
    await asyncio.sleep(0.05)
    assert made * 10_000 <= STOP_BYTES + 3 * 10_000
    if stops == "reads on":
        assert sum([len(chunk.data) async for chunk in answer]) == 100 * 10_000
    await answer.close()
    await asyncio.sleep(0.01)
    assert handle.responses[0].cancelled == (stops == "leaves")


async def test_an_engines_error_comes_after_what_it_said() -> None:
    async with way(faults=[{"fault": "cut"}]) as (client, call, _, _port):
        chunks, error = await read(client)
    assert type(error) is EngineFailure and "cut" in error.message
    assert chunks[-1].usage.completion_tokens == 10 and call.over_the_call == 0


async def test_a_connection_that_breaks_ends_the_answer_in_order_and_the_generation() -> None:
    async with way(inter_token_delay_s=0.05) as (client, _, tier, port):
        answer = await client.open(REQUEST, FOREVER)
        chunks = [await anext(answer)]
        port.stop()
        with pytest.raises(ReplicaUnavailable, match="broke"):
            async for chunk in answer:
                chunks.append(chunk)  # noqa: PERF401  # as above
        told = [chunk.usage.completion_tokens for chunk in chunks]
        assert told == sorted(told) and not chunks[-1].done
        assert tier.record_autoscaling_stats()["engine_running"] == 0


async def test_a_replica_that_dies_beside_its_frames_is_noticed_by_its_call() -> None:
    async with way(inter_token_delay_s=0.05) as (client, call, tier, _port):
        generate = call.generate

        async def dying(asked: dict[str, Any]) -> AsyncGenerator[bytes, None]:
            frames = generate(asked)
            going = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0.2)
            going.cancel()
            await asyncio.wait({going})
            for death in (ActorDiedError(),):
                raise death
            yield b""

        client._handle.generate = dying
        chunks, error = await read(client)
        assert chunks and type(error) is ReplicaUnavailable
        assert tier.record_autoscaling_stats()["engine_running"] == 0


async def test_a_call_that_ends_without_the_last_frame_cuts_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "LAST_FRAME_S", 0.02)

    async def stops(_: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        yield wire.encode(Chunk(b"1", Usage(1, 1), content=True))

    async with way() as (client, _, _tier, _port):
        client._handle.generate = stops
        chunks, error = await read(client)
    assert text(chunks) == b"1" and type(error) is EngineFailure


async def test_a_call_that_ends_without_any_frame_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "LAST_FRAME_S", 0.02)
    async with way() as (client, call, _, _port):
        generate = call.generate

        async def lost(_: dict[str, Any]) -> AsyncGenerator[bytes, None]:
            client._handle.generate = generate
            yield b""

        client._handle.generate = lost
        chunks, error = await read(client)
    assert error is None and chunks[-1].done


async def test_closing_an_answer_stops_the_generation_and_leaves_nothing_open() -> None:
    async with way() as (client, _, tier, port):
        answer = await client.open(REQUEST, FOREVER)
        assert len(port._inboxes) == 1
        await answer.close()
        for _ in range(100):
            if tier.record_autoscaling_stats()["engine_running"] == 0:
                break
            await asyncio.sleep(0.01)
        assert tier.record_autoscaling_stats()["engine_running"] == 0
        assert not port._inboxes
