"""A replica: errors as data, health by progress, an end at once when its engine is dead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deployments.config import TierConfig
from deployments.engine import EngineLoad, EngineRequest, Usage
from deployments.errors import BY_NAME, ConfigError, EngineDead, ErrorReply
from deployments.simulated.engine import SimulatedEngine
from deployments.tier import (
    BUSY_CHUNKS_PER_S,
    DEATH_WATCH_S,
    MAX_MERGE_S,
    ModelTier,
    build_engine,
    merge_pause_s,
    vllm_environment,
)
from deployments.upstream.engine import UpstreamEngine
from deployments.vllm_config import VllmConfig
from tests.fakes import LocalTier, local_tier


@asynccontextmanager
async def replica(faults: Any = (), **engine: Any) -> AsyncIterator[LocalTier]:
    """A started replica on a simulated engine."""
    quick = {"kind": "simulated", "first_token_delay_s": 0, "inter_token_delay_s": 0.001}
    config = {"model": "m", "engine": {**quick, **engine, "faults": faults}, "stall_timeout_s": 60}
    tier = await local_tier(TierConfig.model_validate(config))
    try:
        yield tier
    finally:
        await tier.end()


def request(stream: bool = True, **fields: Any) -> EngineRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    return EngineRequest("chat", {**body, "stream": stream, **fields}, "r1")


async def items(tier: ModelTier, asked: EngineRequest) -> list[Any]:
    return [item async for item in tier.generate(asked)]


class StubEngine:
    """An engine whose load the test sets, and whose answer is `chunks` items."""

    def __init__(self, load: EngineLoad, chunks: int = 0) -> None:
        self.current, self.chunks, self.is_dead = load, chunks, False

    async def generate(self, _: EngineRequest) -> AsyncIterator[bytes | Usage]:
        for number in range(self.chunks):
            yield b"%d" % number
        yield Usage(1, self.chunks)

    def load(self) -> EngineLoad:
        return self.current

    def dead(self) -> bool:
        return self.is_dead

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@asynccontextmanager
async def with_engine(engine: StubEngine) -> AsyncIterator[LocalTier]:
    """A replica whose engine is replaced by this one."""
    async with replica() as tier:
        tier._engine = engine  # type: ignore[assignment]  # a stub
        yield tier


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_ends_with_its_usage(stream: bool) -> None:
    async with replica() as tier:
        got = await items(tier, request(stream))
    assert all(isinstance(item, bytes) for item in got[:-1])
    assert got[-1].completion_tokens == 4


FAULTS = {"refuse_429": "Overloaded", "refuse_503": "TierUnavailable", "cut": "EngineFailure"}


@pytest.mark.parametrize(("fault", "name"), FAULTS.items())
async def test_an_error_is_sent_as_data_not_raised(fault: str, name: str) -> None:
    async with replica(faults=[{"fault": fault}]) as tier:
        got = await items(tier, request())
    reply = got[-1]
    assert isinstance(reply, ErrorReply)
    assert (reply.name, reply.retry_after_s) == (name, BY_NAME[name].retry_after_s)
    assert tier.exits == []


async def test_a_wrong_request_names_its_parameter() -> None:
    async with replica(max_model_len=2) as tier:
        (reply,) = await items(tier, request())
    assert (reply.name, reply.param) == ("ContextLengthExceeded", "messages")


async def test_a_replica_whose_engine_dies_answering_exits_and_says_so_to_the_client() -> None:
    async with replica(faults=[{"fault": "die"}]) as tier:
        got = await items(tier, request())
    assert tier.exits == ["engine died while answering"]
    assert got[-1].name == "EngineDead"


async def test_a_replica_whose_engine_dies_idle_exits_on_its_own() -> None:
    async with replica(faults=[{"fault": "die", "after_s": 0.0}]) as tier:
        await asyncio.sleep(2 * DEATH_WATCH_S)
        assert tier.exits[0] == "engine died"
        with pytest.raises(EngineDead):
            await tier.check_health()


# load now, seconds since progress was last seen -> healthy?
HEALTH = {
    "busy, no progress yet": (EngineLoad(running=1, progress=5), 59.0, True),
    "busy, at the limit": (EngineLoad(running=1, progress=5), 60.0, True),
    "busy, no progress": (EngineLoad(running=1, progress=5), 60.1, False),
    "all waiting, no progress": (EngineLoad(waiting=1, progress=5), 60.1, False),
    "idle for long": (EngineLoad(progress=5), 9999.0, True),
    "slow but working": (EngineLoad(running=1, progress=6), 9999.0, True),
}


@pytest.mark.parametrize(("load", "passed_s", "healthy"), HEALTH.values(), ids=HEALTH)
async def test_health_follows_progress_and_not_time(
    monkeypatch: pytest.MonkeyPatch, load: EngineLoad, passed_s: float, healthy: bool
) -> None:
    loop = asyncio.get_running_loop()
    now_s = loop.time()
    engine = StubEngine(EngineLoad(running=1, progress=5))
    async with with_engine(engine) as tier:
        monkeypatch.setattr(loop, "time", lambda: now_s)
        await tier.check_health()
        engine.current = load
        monkeypatch.setattr(loop, "time", lambda: now_s + passed_s)
        try:
            await tier.check_health()
            assert healthy
        except EngineDead:
            assert not healthy
        monkeypatch.undo()


async def test_a_stalled_engine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with replica(faults=[{"fault": "stall"}]) as tier:
        waiting = asyncio.create_task(items(tier, request()))
        await asyncio.sleep(0.05)
        await tier.check_health()
        loop = asyncio.get_running_loop()
        later_s = loop.time() + 61
        with monkeypatch.context() as patched:
            patched.setattr(loop, "time", lambda: later_s)
            with pytest.raises(EngineDead, match="1 running, no progress for 61 s"):
                await tier.check_health()
        waiting.cancel()
        await asyncio.wait({waiting})


@pytest.mark.parametrize("end", ["whole", "failed", "left"])
async def test_a_request_is_counted_once_however_it_ends(end: str) -> None:
    async with replica(faults=[{"fault": "cut"}] if end == "failed" else []) as tier:
        answer: Any = tier.generate(request(max_tokens=200))
        await anext(answer)
        if end == "left":
            await answer.aclose()
        else:
            async for _ in answer:
                pass
        stats = tier.record_autoscaling_stats()
    assert stats["completed_total"] == 1.0
    assert (stats["engine_running"], stats["engine_waiting"], stats["kv_cache_usage"]) == (0, 0, 0)


async def test_the_autoscaler_sees_the_queue_and_the_batch() -> None:
    engine = StubEngine(EngineLoad(waiting=3, running=2, kv_cache_usage=0.5, progress=9))
    async with with_engine(engine) as tier:
        assert tier.record_autoscaling_stats() == {
            "engine_waiting": 3.0,
            "engine_running": 2.0,
            "kv_cache_usage": 0.5,
            "completed_total": 0.0,
        }


@pytest.mark.parametrize(
    ("running", "pause_s"), [(0, 0), (1, 0), (3, 0.025), (6, 0.05), (12, 0.1), (500, 0.1)]
)
def test_a_busy_replica_lets_tokens_gather(running: int, pause_s: float) -> None:
    assert merge_pause_s(running) == pytest.approx(pause_s)
    assert merge_pause_s(running) <= MAX_MERGE_S
    if pause_s and pause_s < MAX_MERGE_S:
        assert running / merge_pause_s(running) <= BUSY_CHUNKS_PER_S + 1e-9


@pytest.mark.parametrize(
    ("running", "stream", "pauses"), [(8, True, 4), (1, True, 0), (8, False, 0)]
)
async def test_only_streams_on_a_busy_replica_wait_between_items_and_never_before_the_first(
    monkeypatch: pytest.MonkeyPatch, running: int, stream: bool, pauses: int
) -> None:
    events: list[Any] = []

    async def sleep(pause_s: float) -> None:
        events.append(pause_s)

    async with with_engine(StubEngine(EngineLoad(running=running), chunks=3)) as tier:
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "sleep", sleep)
            async for item in tier.generate(request(stream)):
                events.append(item)  # noqa: PERF401  # the pauses go in between
    assert events[0] == b"0"
    assert [e for e in events if isinstance(e, float)] == [merge_pause_s(8)] * pauses


async def test_a_stand_in_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    config = {"model": "toy", "engine": {"kind": "simulated"}, "stand_in": True}
    tier = await local_tier(TierConfig.model_validate(config), "large")
    await tier.end()
    assert "'toy' is a stand-in; set large.engine" in caplog.text


async def test_adapters_on_an_engine_that_holds_none_are_refused() -> None:
    async with replica() as tier:
        await tier.reconfigure({"adapters": {}})
        with pytest.raises(ConfigError, match="holds no adapters"):
            await tier.reconfigure({"adapters": {"legal": "/models/legal"}})


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ({"kind": "simulated"}, SimulatedEngine),
        (
            {"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "m"},
            UpstreamEngine,
        ),
    ],
)
def test_a_config_names_its_engine(engine: Any, kind: type) -> None:
    config = TierConfig.model_validate({"model": "m", "engine": engine})
    assert isinstance(build_engine(config), kind)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "TORCH_COMPILE_DISABLE": "1"}),
        ({"cpu_threads": "0-3"}, {"VLLM_CPU_OMP_THREADS_BIND": "0-3"}),
    ],
)
def test_vllm_never_calls_home_and_gets_its_threads(settings: Any, expected: Any) -> None:
    variables = vllm_environment(VllmConfig(**settings))
    assert variables["HF_HUB_OFFLINE"] == variables["VLLM_NO_USAGE_STATS"] == "1"
    assert expected.items() <= variables.items()


def test_a_compiled_model_keeps_its_compiler() -> None:
    assert "TORCH_COMPILE_DISABLE" not in vllm_environment(VllmConfig(enforce_eager=False))
