"""The simulated engine keeps its times, its places and its faults.

Time is virtual: the event loop's clock jumps to the next timer, so every time is exact.
"""

import asyncio
import contextlib
import json
import re
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    Overloaded,
    ReplicaUnavailable,
    ServingError,
    TierUnavailable,
)
from deployments.settings.config_mistake import ConfigError
from deployments.settings.simulated import FaultRule, SimulatedEngineConfig
from deployments.simulated.engine import SimulatedEngine

STEADY = {
    "first_token_delay_s": 1.0,
    "inter_token_delay_s": 0.1,
    "inter_token_delay_growth": 0.0,
    "prompt_tokens_per_s": 1e9,
}


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen again"
        self._loop.now += timeout
        return super().select(0)


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """Run a scenario on virtual time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:

        async def main() -> Any:
            return await scenario()

        return runner.run(main())


async def started(**settings: Any) -> SimulatedEngine:
    engine = SimulatedEngine(SimulatedEngineConfig(**(STEADY | settings)), "m")
    await engine.start()
    return engine


def chat(
    max_tokens: int = 5, *, name: str = "r1", timeout_s: float | None = None, **body: Any
) -> EngineRequest:
    message = {"role": "user", "content": "Hello"}
    filled = {"model": "m", "messages": [message], "max_tokens": max_tokens, "stream": True} | body
    return EngineRequest("chat", filled, name, timeout_s=timeout_s)


async def arrivals(engine: SimulatedEngine, request: EngineRequest) -> list[float]:
    """The moments at which the items of an answer came."""
    clock = asyncio.get_running_loop().time
    return [round(clock(), 6) async for _ in engine.generate(request)]


async def failure(engine: SimulatedEngine, request: EngineRequest) -> tuple[int, ServingError]:
    """How many items of the answer came before the error, and the error."""
    items = 0
    with pytest.raises(ServingError) as caught:
        async for chunk in engine.generate(request):
            items += bool(chunk.data)
    return items, caught.value


def test_tokens_come_at_their_times() -> None:
    async def scenario() -> None:
        assert await arrivals(await started(), chat(4)) == [1.0, 1.1, 1.2, 1.3, 1.3]

    run(scenario)


def test_prompt_is_read_at_its_speed() -> None:
    async def scenario() -> None:
        engine = await started(prompt_tokens_per_s=100.0)
        message = {"role": "user", "content": "x" * 784}  # 196 tokens and 4 for the message
        assert (await arrivals(engine, chat(1, messages=[message])))[0] == 3.0

    run(scenario)


def test_each_further_request_slows_the_others() -> None:
    async def scenario() -> None:
        engine = await started(inter_token_delay_growth=0.5)
        times = await asyncio.gather(*(arrivals(engine, chat(3)) for _ in range(3)))
        assert times == [[1.0, 1.2, 1.4, 1.4]] * 3

    run(scenario)


def test_slow_reader_gets_late_tokens_together_and_loses_no_time() -> None:
    async def scenario() -> None:
        engine = await started()
        items: list[int] = []
        clock = asyncio.get_running_loop().time
        async for item in engine.generate(chat(10)):
            if not item.done:
                items.append(len(re.findall(rb'"content":"[ \w]', item.data)))
            if len(items) == 1:
                await asyncio.sleep(0.45)
        assert items == [1, 4, 1, 1, 1, 1, 1]
        assert clock() == pytest.approx(1.9)

    run(scenario)


def test_busy_event_loop_does_not_make_the_clock_drift() -> None:
    async def scenario() -> None:
        engine = await started()
        task = asyncio.create_task(arrivals(engine, chat(10)))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        for _ in range(3):
            await asyncio.sleep(0.5)
            loop.now += 0.13  # as if something had blocked it
        assert (await task)[-1] == 1.9

    run(scenario)


def test_batch_limit_makes_requests_wait_in_order() -> None:
    async def scenario() -> None:
        engine = await started(max_num_seqs=1)
        order: list[str] = []

        async def ask(name: str) -> None:
            await arrivals(engine, chat(2, name=name))
            order.append(name)

        asks = [asyncio.create_task(ask(name)) for name in ("a", "b", "c")]
        await asyncio.sleep(0.5)
        assert (engine.load().running, engine.load().waiting) == (1, 2)
        await asyncio.gather(*asks)
        assert order == ["a", "b", "c"]
        assert asyncio.get_running_loop().time() == pytest.approx(3 * 1.1)

    run(scenario)


def test_kv_cache_limit_makes_requests_wait_and_nobody_overtakes() -> None:
    async def scenario() -> None:
        engine = await started(kv_cache_tokens=100, max_model_len=100)  # 5 prompt tokens each
        first = asyncio.create_task(arrivals(engine, chat(55, name="60 tokens")))
        second = asyncio.create_task(arrivals(engine, chat(55, name="60 tokens more")))
        small = asyncio.create_task(arrivals(engine, chat(5, name="10 tokens, would fit")))
        await asyncio.sleep(0.5)
        load = engine.load()
        assert (load.running, load.waiting, load.kv_cache_usage) == (1, 2, 0.6)
        await asyncio.gather(first, second, small)
        assert (
            small.result()[0] == second.result()[0] == first.result()[-1] + 1.0
        )  # the small one too
        assert engine.load().kv_cache_usage == 0.0

    run(scenario)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"kv_cache_tokens": 20}, id="more than the KV cache"),
        pytest.param({"max_model_len": 4}, id="more than the context window"),
    ],
)
def test_request_that_never_fits_is_refused_at_once(settings: dict[str, Any]) -> None:
    async def scenario() -> None:
        items, error = await failure(await started(**settings), chat(16))
        assert items == 0
        assert type(error) is ContextLengthExceeded

    run(scenario)


def test_closing_the_answer_lets_the_next_request_in_at_once() -> None:
    async def scenario() -> None:
        engine = await started(max_num_seqs=1)
        answer: Any = engine.generate(chat(1000))
        await anext(answer)
        waiting = asyncio.create_task(arrivals(engine, chat(1)))
        await asyncio.sleep(0)
        assert engine.load().waiting == 1
        await answer.aclose()
        assert (engine.load().running, engine.load().waiting) == (1, 0)
        assert (await waiting)[0] == 2.0

    run(scenario)


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.05], ids=["queued", "first token", "decoding"])
def test_cancelled_task_gives_its_place_back(moment: float) -> None:
    async def scenario() -> None:
        engine = await started(max_num_seqs=1)
        task = asyncio.create_task(arrivals(engine, chat(100)))
        await asyncio.sleep(moment)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert (engine.load().running, engine.load().waiting) == (0, 0)
        assert engine.load().kv_cache_usage == 0.0

    run(scenario)


def test_cancel_in_the_moment_of_the_grant_gives_the_place_on() -> None:
    async def scenario() -> None:
        engine = await started(max_num_seqs=1)
        first: Any = engine.generate(chat(1000))
        await anext(first)
        second = asyncio.create_task(arrivals(engine, chat(1, name="second")))
        third = asyncio.create_task(arrivals(engine, chat(1, name="third")))
        await asyncio.sleep(0)
        await first.aclose()  # grants the second, which is cancelled before it wakes
        second.cancel()
        assert len(await third) == 2
        assert engine.load().running == 0

    run(scenario)


@pytest.mark.parametrize("waits_for", ["a place", "the first token", "the last token"])
def test_deadline_ends_the_request(waits_for: str) -> None:
    async def scenario() -> None:
        engine = await started(max_num_seqs=1)
        if waits_for == "a place":
            other: AsyncIterator[Any] = engine.generate(chat(1000))
            await anext(other)
        timeout_s = 1.25 if waits_for == "the last token" else 0.5
        items, error = await failure(engine, chat(10, timeout_s=timeout_s))
        assert type(error) is DeadlineExceeded
        assert items == (3 if waits_for == "the last token" else 0)

    run(scenario)


def test_start_takes_the_configured_time() -> None:
    async def scenario() -> None:
        engine = SimulatedEngine(SimulatedEngineConfig(startup_s=60.0), "m")
        _, error = await failure(engine, chat())
        assert type(error) is TierUnavailable
        await engine.start()
        assert asyncio.get_running_loop().time() == 60.0

    run(scenario)


def test_progress_counts_tokens_and_stops_in_a_stall() -> None:
    async def scenario() -> None:
        engine = await started(faults=(FaultRule(fault="stall", after_s=1.35),))
        task = asyncio.create_task(arrivals(engine, chat(100)))
        await asyncio.sleep(100)
        assert (engine.load().progress, engine.load().running) == (4, 1)
        assert not engine.dead()
        task.cancel()

    run(scenario)


def test_death_by_the_clock_ends_running_and_waiting_requests() -> None:
    async def scenario() -> None:
        engine = await started(max_num_seqs=1, faults=(FaultRule(fault="die", after_s=1.25),))
        running = asyncio.create_task(failure(engine, chat(100)))
        waiting = asyncio.create_task(failure(engine, chat(100)))
        (items, error), (none, other) = await asyncio.gather(running, waiting)
        # Neither is why it died: one had been begun, the other had not.
        assert (items, type(error)) == (3, ReplicaUnavailable)
        assert (none, type(other)) == (0, ReplicaUnavailable)
        assert engine.dead()
        assert asyncio.get_running_loop().time() == 1.25

    run(scenario)


def test_rule_strikes_after_its_number_of_requests() -> None:
    async def scenario() -> None:
        engine = await started(faults=(FaultRule(fault="die", after_requests=2),))
        for _ in range(2):
            await arrivals(engine, chat(1))
        assert not engine.dead()
        _, error = await failure(engine, chat(1))
        assert type(error) is EngineDead
        assert engine.dead()

    run(scenario)


def test_rate_strikes_its_fraction_of_requests_and_the_same_ones_again() -> None:
    async def struck() -> list[str]:
        engine = await started(faults=(FaultRule(fault="refuse_503", rate=0.25),))
        names = [f"request-{i}" for i in range(200)]
        hit = []
        for name in names:
            try:
                await arrivals(engine, chat(1, name=name))
            except TierUnavailable:
                hit.append(name)
        return hit

    hit = run(struck)
    assert 30 <= len(hit) <= 70
    assert run(struck) == hit


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
@pytest.mark.parametrize(
    ("drill", "error", "items_before"),
    [
        ("die", EngineDead, 0),
        ("refuse_429", Overloaded, 0),
        ("refuse_503", TierUnavailable, 0),
        ("cut", EngineFailure, 5),
        ("stall", DeadlineExceeded, 0),
    ],
)
def test_drill_strikes_the_request_that_names_it(
    drill: str, error: type[ServingError], items_before: int, stream: bool
) -> None:
    async def scenario() -> None:
        engine = await started(allow_drills=True)
        request = chat(10, user=f"drill:{drill}", timeout_s=9.0, stream=stream)
        items, raised = await failure(engine, request)
        assert type(raised) is error
        assert items == (items_before if stream else 0)

    run(scenario)


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
def test_malformed_drill_breaks_the_json(stream: bool) -> None:
    async def scenario() -> None:
        engine = await started(allow_drills=True)
        broken = 0
        async for item in engine.generate(chat(4, user="drill:malformed", stream=stream)):
            for event in item.data.split(b"\n\n"):
                try:
                    json.loads(event.removeprefix(b"data: ") or b"{}")
                except json.JSONDecodeError:
                    broken += 1
        assert broken == 1

    run(scenario)


def test_drills_do_nothing_unless_allowed() -> None:
    async def scenario() -> None:
        engine = await started()
        assert len(await arrivals(engine, chat(3, user="drill:die"))) == 4
        assert not engine.dead()

    run(scenario)


def test_stopped_engine_dies_no_more() -> None:
    async def scenario() -> None:
        engine = await started(faults=(FaultRule(fault="die", after_s=5.0),))
        await engine.stop()
        await asyncio.sleep(10)
        assert not engine.dead()

    run(scenario)


async def chunks(request: EngineRequest, **settings: Any) -> list[Chunk]:
    return [chunk async for chunk in (await started(**settings)).generate(request)]


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
def test_the_last_chunk_is_done_and_has_the_usage(stream: bool) -> None:
    async def scenario() -> None:
        told = await chunks(chat(7, stream=stream))
        assert [chunk.done for chunk in told] == [False] * (len(told) - 1) + [True]
        assert told[-1].usage == Usage(prompt_tokens=5, completion_tokens=7)

    run(scenario)


def test_a_chunk_says_what_is_in_it_without_being_read() -> None:
    async def scenario() -> None:
        told = await chunks(chat(3, n=2, stop=["never said"]))
        assert [chunk.usage.completion_tokens for chunk in told] == [2, 4, 6, 6]
        assert [chunk.content for chunk in told] == [True, True, True, False]
        assert [chunk.finish_reason for chunk in told] == [None, None, "length", None]

    run(scenario)


@pytest.mark.parametrize("model", ["other", "", None, "legal"])
def test_a_name_that_is_not_served_is_refused_as_vllm_does(model: str | None) -> None:
    async def scenario() -> None:
        engine = await started(max_loras=1)
        await engine.set_adapters({"health": "/adapters/health"})
        items, error = await failure(engine, chat(model=model))
        assert (items, error.status, error.param) == (0, 404, "model")
        assert "does not exist" in error.message
        assert len(await arrivals(engine, chat(1, model="health"))) == 2

    run(scenario)


def test_adapters_beyond_its_room_are_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError, match="max_loras is 0"):
            await (await started()).set_adapters({"legal": "/adapters/legal"})

    run(scenario)


def test_a_request_without_time_left_is_late() -> None:
    async def scenario() -> None:
        _, error = await failure(await started(), chat(timeout_s=0.0))
        assert type(error) is DeadlineExceeded

    run(scenario)


def test_an_engine_that_is_dead_says_that_it_was_before() -> None:
    async def scenario() -> None:
        engine = await started(allow_drills=True)
        _, killer = await failure(engine, chat(user="drill:die"))
        _, later = await failure(engine, chat())
        assert [type(killer), type(later)] == [EngineDead, ReplicaUnavailable]

    run(scenario)
