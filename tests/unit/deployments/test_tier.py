"""A replica: errors as data, health by progress, an end at once when its engine is dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import (
    BY_NAME,
    AdapterNotLoaded,
    EngineDead,
    EngineFailure,
    ReplicaUnavailable,
    ServingError,
)
from deployments.replicas.beat import Beat
from deployments.replicas.build_engine import build_engine, vllm_environment
from deployments.replicas.progress import MAX_LOOK_S, Progress
from deployments.replicas.tier import (
    BUSY_CHUNKS_PER_S,
    LAST_WORDS_S,
    MAX_MERGE_S,
    WATCH_S,
    ModelTier,
    merge_pause_s,
)
from deployments.settings.app import TierConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.vllm import VllmConfig
from deployments.simulated.engine import SimulatedEngine
from deployments.upstream.engine import UpstreamEngine
from deployments.upstream.targets import TargetsEngine
from tests.fakes import LocalTier, local_tier


@asynccontextmanager
async def replica(
    faults: Any = (), stall_timeout_s: float = 60, **engine: Any
) -> AsyncIterator[LocalTier]:
    """A started replica on a simulated engine."""
    quick = {"kind": "simulated", "first_token_delay_s": 0, "inter_token_delay_s": 0.001}
    described = {**quick, **engine, "faults": faults}
    config = {"model": "m", "engine": described, "stall_timeout_s": stall_timeout_s}
    tier = await local_tier(TierConfig.model_validate(config))
    try:
        yield tier
    finally:
        await tier.end()


def request(stream: bool = True, **fields: Any) -> EngineRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    return EngineRequest("chat", {**body, "stream": stream, **fields}, "r1")


async def sent(tier: ModelTier, asked: EngineRequest) -> AsyncIterator[Chunk | ServingError]:
    """What a gateway reads: chunks, and an error where there is one."""
    async with aclosing(tier.generate(wire.encode_request(asked))) as frames:  # type: ignore[type-var]  # a generator
        async for frame in frames:
            try:
                yield wire.decode(frame)
            except ServingError as error:
                yield error


async def items(tier: ModelTier, asked: EngineRequest) -> list[Any]:
    return [item async for item in sent(tier, asked)]


COST = Usage(1, 4)


class StubEngine:
    """An engine whose load and answer the test sets: chunks, or an error to raise."""

    def __init__(self, load: EngineLoad, *answer: Chunk | ServingError) -> None:
        self.current, self.answer, self.is_dead = load, answer, False

    async def generate(self, _: EngineRequest) -> AsyncIterator[Chunk]:
        for item in self.answer:
            if isinstance(item, ServingError):
                raise item
            yield item
        yield Chunk(b"", COST, done=True)

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
    assert [chunk.done for chunk in got] == [False] * (len(got) - 1) + [True]
    assert got[-1].usage.completion_tokens == 4
    assert len(got) == 1 or stream


FAULTS = {"refuse_429": "Overloaded", "refuse_503": "TierUnavailable", "cut": "EngineFailure"}


@pytest.mark.parametrize(("fault", "name"), FAULTS.items())
async def test_an_error_is_sent_as_data_not_raised(fault: str, name: str) -> None:
    async with replica(faults=[{"fault": fault}]) as tier:
        got = await items(tier, request())
    reply = got[-1]
    assert type(reply) is BY_NAME[name]
    assert reply.retry_after_s == BY_NAME[name].retry_after_s
    assert tier.exits == []


async def test_a_wrong_request_names_its_parameter() -> None:
    async with replica(max_model_len=2) as tier:
        (reply,) = await items(tier, request())
    assert (type(reply).__name__, reply.param) == ("ContextLengthExceeded", "messages")


async def test_a_replica_whose_engine_dies_tells_its_requests_why_before_it_exits() -> None:
    async with replica(allow_drills=True, inter_token_delay_s=0.05) as tier:
        begun = asyncio.create_task(items(tier, request(stream=False, max_tokens=100)))
        await asyncio.sleep(0.1)
        (culprit,) = await items(tier, request(user="drill:die"))
        (bystander,), (later,) = await begun, await items(tier, request())
        assert tier.exits == []
        assert [type(e) for e in (culprit, bystander, later)] == [
            EngineDead,
            ReplicaUnavailable,
            ReplicaUnavailable,
        ]
        await asyncio.sleep(2 * WATCH_S + LAST_WORDS_S)
        assert tier.exits[0] == "engine died"


async def test_a_replica_whose_engine_dies_idle_exits_on_its_own() -> None:
    async with replica(faults=[{"fault": "die", "after_s": 0.0}]) as tier:
        await asyncio.sleep(2 * WATCH_S + LAST_WORDS_S)
        assert tier.exits[0] == "engine died"
        with pytest.raises(EngineDead):
            await tier.check_health()


# load at a second, seconds that pass -> seconds without progress
PROGRESS: dict[str, tuple[Callable[[int], EngineLoad], int, float]] = {
    "busy, no progress": (lambda _: EngineLoad(running=1, progress=5), 60, 60),
    "all waiting, no progress": (lambda _: EngineLoad(waiting=1, progress=5), 60, 60),
    "idle for long": (lambda _: EngineLoad(progress=5), 9999, 0),
    "slow but working": (lambda s: EngineLoad(running=1, progress=5 + s // 50), 9999, 49),
}


@pytest.mark.parametrize(("load", "passed_s", "stalled_s"), PROGRESS.values(), ids=PROGRESS)
def test_progress_is_what_counts_and_not_time(
    load: Callable[[int], EngineLoad], passed_s: int, stalled_s: float
) -> None:
    progress = Progress()
    for second in range(passed_s + 1):
        progress.look(load(second), 100.0 + second)
    assert progress.stalled_s == stalled_s


def test_time_in_which_the_process_was_stopped_is_not_the_engines() -> None:
    progress = Progress()
    for now_s in (100.0, 3700.0):
        progress.look(EngineLoad(running=1, progress=5), now_s)
    assert progress.stalled_s == MAX_LOOK_S


@pytest.mark.parametrize(("stalled_s", "healthy"), [(60.0, True), (60.1, False)])
async def test_a_replica_is_unhealthy_beyond_the_stall_timeout(
    stalled_s: float, healthy: bool
) -> None:
    async with replica() as tier:
        tier._progress.stalled_s = stalled_s
        with nullcontext() if healthy else pytest.raises(EngineDead, match="no progress for 60 s"):
            await tier.check_health()


async def test_a_replica_whose_engine_stands_still_exits_and_frees_its_requests() -> None:
    async with replica([{"fault": "stall"}], stall_timeout_s=0.3) as tier:
        waiting = asyncio.create_task(items(tier, request()))
        await asyncio.sleep(0.3 + 3 * WATCH_S)
        assert tier.exits[0].startswith("no progress")
        waiting.cancel()
        await asyncio.wait({waiting})


@pytest.mark.parametrize("end", ["whole", "failed", "left"])
async def test_a_request_is_counted_once_however_it_ends(end: str) -> None:
    async with replica(faults=[{"fault": "cut"}] if end == "failed" else []) as tier:
        answer: Any = sent(tier, request(max_tokens=200))
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
    ("running", "pause_s"), [(0, 0), (1, 0), (3, 0.025), (6, 0.05), (12, 0.05), (500, 0.05)]
)
def test_a_busy_replica_lets_tokens_gather(running: int, pause_s: float) -> None:
    assert merge_pause_s(running) == pytest.approx(pause_s)
    assert merge_pause_s(running) <= MAX_MERGE_S
    if pause_s and pause_s < MAX_MERGE_S:
        assert running / merge_pause_s(running) <= BUSY_CHUNKS_PER_S + 1e-9


async def played(
    monkeypatch: pytest.MonkeyPatch, engine: StubEngine, stream: bool = True
) -> list[Any]:
    """What a replica sends, and how long it waits in between."""
    events: list[Any] = []

    async def wait(_: Beat, pause_s: float) -> None:
        events.append(pause_s)

    async with with_engine(engine) as tier:
        with monkeypatch.context() as patched:
            patched.setattr(Beat, "wait", wait)
            async for item in sent(tier, request(stream)):
                events.append(item)  # noqa: PERF401  # the pauses go in between
    assert events[0].model == "m"
    events[0] = events[0]._replace(model="", release="")
    return events


BUSY, QUIET, WAIT = EngineLoad(running=8), EngineLoad(running=1), merge_pause_s(8)


def said(data: bytes, tokens: int, reason: str | None = None) -> Chunk:
    return Chunk(data, Usage(1, tokens), True, reason)


ROLE = Chunk(b"role", Usage(1, 0))
ONE, TWO = said(b"1", 1), said(b"2", 2)
STOP = Chunk(b"stop", Usage(1, 2), finish_reason="stop")
COUNTS = Chunk(b"counts", Usage(1, 2))
END = Chunk(b"stopcounts", COST, finish_reason="stop", done=True)
ALL = Chunk(b"12stopcounts", COST, True, "stop", done=True)


@pytest.mark.parametrize(
    ("load", "stream", "expected"),
    [
        (BUSY, True, [ONE, WAIT, TWO, WAIT, END]),
        (QUIET, True, [ONE, TWO, END]),
        (BUSY, False, [ALL]),
    ],
    ids=["busy", "quiet", "JSON"],
)
async def test_a_busy_replica_waits_between_chunks_but_not_before_the_first_nor_after_the_end(
    monkeypatch: pytest.MonkeyPatch, load: EngineLoad, stream: bool, expected: list[Any]
) -> None:
    engine = StubEngine(load, ONE, TWO, STOP, COUNTS)
    assert await played(monkeypatch, engine, stream) == expected


async def test_the_first_token_does_not_wait_behind_the_role(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got = await played(monkeypatch, StubEngine(BUSY, ROLE, ONE, TWO))
    opening = ONE._replace(data=b"role1")
    assert got == [opening, WAIT, TWO, WAIT, Chunk(b"", COST, done=True)]


async def test_a_choice_that_ends_early_does_not_hold_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got = await played(monkeypatch, StubEngine(QUIET, STOP, ONE, TWO, STOP))
    first = ONE._replace(data=b"stop1", finish_reason="stop")
    assert got == [first, TWO, Chunk(b"stop", COST, finish_reason="stop", done=True)]


async def test_an_end_that_was_held_is_sent_before_the_error_that_follows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got = await played(monkeypatch, StubEngine(QUIET, ONE, STOP, EngineFailure("broke")))
    assert got[:2] == [ONE, STOP] and type(got[2]) is EngineFailure


async def test_of_a_document_is_told_what_it_has_cost_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deployments.simulated.engine.PROGRESS_S", 0.0)
    async with replica() as tier:
        *before, whole = await items(tier, request(stream=False, max_tokens=4))
    told = [chunk.usage.completion_tokens for chunk in before]
    assert told and told == sorted(told) and 0 < told[0] <= told[-1] <= 4
    assert not any(chunk.data or chunk.done for chunk in before) and whole.done


@pytest.mark.parametrize(
    ("sent_ago_s", "left_s"),
    [(None, 10.0), (4.0, 6.0), (-4.0, 10.0), (11.0, 10.0)],
    ids=["an older gateway", "queued", "clock ahead", "clock far behind"],
)
async def test_a_wait_before_the_replica_takes_of_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, sent_ago_s: float | None, left_s: float
) -> None:
    seen: list[EngineRequest] = []

    async def generate(_: Any, asked: EngineRequest) -> AsyncIterator[Chunk]:
        seen.append(asked)
        yield Chunk(b"{}", COST, done=True)

    monkeypatch.setattr(SimulatedEngine, "generate", generate)
    asked = wire.encode_request(replace(request(), timeout_s=10.0))
    if sent_ago_s is not None:
        asked["sent_s"] = time.time() - sent_ago_s
    async with replica() as tier:
        _ = [frame async for frame in tier.generate(asked)]
    assert seen[0].timeout_s == pytest.approx(left_s, abs=0.5)


async def test_a_request_is_answered_under_the_replicas_own_name() -> None:
    async with replica() as tier:
        got = await items(tier, request(model="a-name-of-tomorrow"))
    assert [chunk.model for chunk in got] == ["m"] + [""] * (len(got) - 1)
    assert b'"model":"m"' in got[0].data


async def test_an_adapter_answers_only_where_it_is_loaded() -> None:
    asked = replace(request(), adapter="legal")
    async with replica(max_loras=1) as tier:
        (missing,) = await items(tier, asked)
        await tier.reconfigure({"adapters": {"legal": "/adapters/legal"}})
        there = await items(tier, asked)
        await tier.reconfigure({"adapters": {}})
        (gone,) = await items(tier, asked)
    assert type(missing) is type(gone) is AdapterNotLoaded and missing.retryable
    assert there[0].model == "legal" and there[-1].done


async def test_a_request_of_another_release_is_refused_for_another_replica() -> None:
    async with replica() as tier:
        asked = {**wire.encode_request(request()), "version": wire.VERSION + 1}
        (frame,) = [frame async for frame in tier.generate(asked)]
        with pytest.raises(ReplicaUnavailable, match="another release"):
            wire.decode(frame)


async def test_a_stand_in_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    config = {"model": "toy", "engine": {"kind": "simulated"}, "stand_in": True}
    tier = await local_tier(TierConfig.model_validate(config), "large")
    await tier.end()
    assert "'toy' is a stand-in; set large.engine" in caplog.text


UPSTREAM = {"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "m"}
TARGETS = {
    "kind": "targets",
    "targets": [{"name": "a", "base_url": "https://llm.example.com/v1", "model": "m"}],
}


@pytest.mark.parametrize(
    ("engine", "why"), [({"kind": "simulated"}, "max_loras is 0"), (UPSTREAM, "holds no adapters")]
)
async def test_adapters_on_an_engine_that_holds_none_are_refused(engine: Any, why: str) -> None:
    tier = await local_tier(TierConfig.model_validate({"model": "m", "engine": engine}))
    await tier.reconfigure({"adapters": {}})
    with pytest.raises(ConfigError, match=why):
        await tier.reconfigure({"adapters": {"legal": "/models/legal"}})
    await tier.end()


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ({"kind": "simulated"}, SimulatedEngine),
        (UPSTREAM, UpstreamEngine),
        (TARGETS, TargetsEngine),
    ],
)
def test_a_config_names_its_engine(engine: Any, kind: type) -> None:
    config = TierConfig.model_validate({"model": "m", "engine": engine})
    assert isinstance(build_engine(config, PrivacyConfig()), kind)


@pytest.mark.parametrize("engine", [UPSTREAM, TARGETS], ids=str)
def test_no_engine_asks_an_upstream_without_a_policy(engine: Any) -> None:
    config = TierConfig.model_validate({"model": "m", "engine": engine})
    with pytest.raises(ConfigError, match="privacy"):
        build_engine(config, None)


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


@pytest.mark.parametrize("fails", ["build_engine", "start"])
async def test_a_replica_whose_start_failed_ends_without_another_error(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: object) -> None:
        raise EngineFailure("no start")

    stopped: list[bool] = []

    async def stop(_: SimulatedEngine) -> None:
        stopped.append(True)

    monkeypatch.setattr(SimulatedEngine, "stop", stop)
    if fails == "start":
        monkeypatch.setattr(SimulatedEngine, "start", fail)
    else:
        monkeypatch.setattr("deployments.replicas.tier.build_engine", fail)
    tier = LocalTier.__new__(LocalTier)
    config = TierConfig.model_validate({"model": "m", "engine": {"kind": "simulated"}})
    with pytest.raises(EngineFailure):
        await tier.__init__("small", config)  # type: ignore[misc]  # as Serve starts it
    await tier.end()
    # What the engine had started before it failed ends with the replica.
    assert stopped == ([True] if fails == "start" else [])


async def test_the_stall_timeout_changes_in_place() -> None:
    async with replica() as tier:
        tier._progress.stalled_s = 30.0
        assert tier._complaint() is None
        await tier.reconfigure({"stall_timeout_s": 20})
        assert "no progress" in (tier._complaint() or "")
        await tier.reconfigure({})
        assert tier._complaint() is None
