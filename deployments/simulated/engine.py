"""An engine without a model: its timing, limits, answers and faults are settings.

For rehearsals, load tests and fault tests on a machine without a GPU. Requests run in a batch of
limited size and KV cache, wait in order for a place, and cost a few microseconds a chunk. What it
simplifies: a request holds the KV cache of its whole answer from the start, and prompts are read
side by side. docs/simulated-engine.md shows its use.
"""

import asyncio
import math
import time
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from deployments.protocol.chunk import PROGRESS_S, Chunk
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    Overloaded,
    ReplicaUnavailable,
    TierUnavailable,
    unknown_model,
)
from deployments.settings.config_mistake import ConfigError
from deployments.settings.simulated import FaultRule, SimulatedEngineConfig
from deployments.simulated.answer import Answer, answer
from deployments.simulated.batch import Batch
from deployments.simulated.clock import StepClock
from deployments.simulated.tokens import tokens
from deployments.simulated.wire import EventStream, document

DRILL = "drill:"


@dataclass(slots=True)
class _Run:
    """What the timers of one running request have told it, and how far it has come."""

    prompt_read: bool = False
    late: bool = False
    begun: bool = False


class SimulatedEngine:
    """An `Engine` that answers by the clock, under its served name and its adapters' names."""

    def __init__(self, config: SimulatedEngineConfig, served_name: str) -> None:
        self._config = config
        self._served_name = served_name
        self._adapters: frozenset[str] = frozenset()
        self._batch = Batch(config.max_num_seqs, config.kv_cache_tokens)
        self._clock = StepClock(self._interval_s)
        self._timers: list[asyncio.TimerHandle] = []
        self._ready_at: float | None = None
        self._accepted = 0
        self._dead = False

    async def start(self) -> None:
        """Wait as long as loading a model takes, then arm the faults that come by the clock."""
        await asyncio.sleep(self._config.startup_s)
        loop = asyncio.get_running_loop()
        self._ready_at = loop.time()
        strikes = {"die": self._die, "stall": self._stall}
        for rule in self._config.faults:
            if rule.timed:
                at = self._ready_at + (rule.after_s or 0.0)
                self._timers.append(loop.call_at(at, strikes[rule.fault]))

    async def stop(self) -> None:
        """Disarm what is still to come."""
        for timer in self._timers:
            timer.cancel()
        self._ready_at = None

    async def set_adapters(self, paths: dict[str, str]) -> None:
        """Answer under these names too, from now on."""
        if len(paths) > self._config.max_loras:
            raise ConfigError(f"engine.max_loras is {self._config.max_loras}: no room for {paths}")
        self._adapters = frozenset(paths)

    def dead(self) -> bool:
        """Whether a `die` fault has struck."""
        return self._dead

    def load(self) -> EngineLoad:
        """Requests in the queue and in the batch, KV cache reserved, decoding steps so far."""
        batch = self._batch
        return EngineLoad(batch.waiting, batch.running, batch.kv_cache_usage, self._clock.steps)

    async def tokens(self, request: EngineRequest) -> bytes:
        """As many tokens as an answer's usage would count."""
        self._check_name(request.body.get("model"))
        return tokens(request, self._config)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
        """See `Engine.generate`; closing the iterator frees the request's place at once."""
        left_s = math.inf if request.timeout_s is None else request.timeout_s
        deadline = asyncio.get_running_loop().time() + left_s
        self._check_name(request.body.get("model"))
        fault = self._strike(request)
        planned = answer(request, self._config)
        kv_tokens = planned.prompt_tokens + planned.completion_tokens
        await self._batch.enter(kv_tokens, deadline)
        try:
            parts = self._events if request.stream else self._document
            async with aclosing(parts(request, planned, deadline, fault)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._batch.leave(kv_tokens)

    def _check_name(self, model: object) -> None:
        """Refuse as vLLM does (`OpenAIServing._check_model`, 404)."""
        if model != self._served_name and model not in self._adapters:
            raise unknown_model(f"{model}")

    # -- the answer, step by step ---------------------------------------------------------------

    async def _events(
        self, request: EngineRequest, planned: Answer, deadline: float, fault: str | None
    ) -> AsyncGenerator[Chunk, None]:
        stream = EventStream(request, planned, int(time.time()))
        opening = stream.opening()
        half = planned.steps // 2
        async with aclosing(self._steps(planned, deadline)) as taken:
            async for steps in taken:
                struck = fault is not None and half in steps
                if struck and fault == "cut":
                    raise EngineFailure("The simulated answer was cut.")
                broken = stream.malformed() if struck and fault == "malformed" else b""
                data = opening + b"".join([stream.step(number) for number in steps]) + broken
                yield Chunk(data, planned.usage(steps.stop), True, planned.ended(steps))
                opening = b""
        last = stream.usage() if request.include_usage else b""
        yield Chunk(last, planned.usage(planned.steps), done=True)

    async def _document(
        self, request: EngineRequest, planned: Answer, deadline: float, fault: str | None
    ) -> AsyncGenerator[Chunk, None]:
        half, loop = planned.steps // 2, asyncio.get_running_loop()
        tell_at = loop.time() + PROGRESS_S
        async with aclosing(self._steps(planned, deadline)) as taken:
            async for steps in taken:
                if fault == "cut" and half in steps:
                    raise EngineFailure("The simulated answer was cut.")
                if loop.time() >= tell_at:
                    yield Chunk(b"", planned.usage(steps.stop))
                    tell_at += PROGRESS_S
        whole = document(request, planned, int(time.time()))
        data = whole[: len(whole) // 2] if fault == "malformed" else whole
        reason = planned.choices[-1].finish_reason
        yield Chunk(data, planned.usage(planned.steps), True, reason, done=True)

    async def _steps(self, planned: Answer, deadline: float) -> AsyncGenerator[range, None]:
        """The numbers of the decoding steps as they are taken: several when the reader was late.

        Raises when the engine dies or the deadline passes first.
        """
        loop = asyncio.get_running_loop()
        clock = self._clock
        run = _Run()
        reading_s = planned.prompt_tokens / self._config.prompt_tokens_per_s
        first_at = loop.time() + self._config.first_token_delay_s + reading_s
        timers = [loop.call_at(first_at, self._prompt_read, run)]
        if deadline < math.inf:
            timers.append(loop.call_at(deadline, self._too_late, run))
        try:
            while not run.prompt_read:
                await self._change(run)
            done, before, last = 0, clock.steps, planned.steps
            while done < last:
                while clock.steps - before == done:
                    await self._change(run)
                run.begun = True
                first, done = done, min(last, clock.steps - before)
                yield range(first, done)
        finally:
            for timer in timers:
                timer.cancel()
            if run.prompt_read:
                clock.leave()

    async def _change(self, run: _Run) -> None:
        if not self._dead and not run.late:
            await self._clock.changed()
        if self._dead and run.begun:  # what an engine has begun to answer does not kill it
            raise ReplicaUnavailable("The simulated engine died.")
        if self._dead:
            raise EngineDead("The simulated engine died.")
        if run.late:
            raise DeadlineExceeded("The answer took longer than the request allows.")

    def _prompt_read(self, run: _Run) -> None:
        run.prompt_read = True
        self._clock.enter()
        self._clock.wake()

    def _too_late(self, run: _Run) -> None:
        run.late = True
        self._clock.wake()

    def _interval_s(self) -> float:
        crowd = self._config.inter_token_delay_growth * (self._batch.running - 1)
        return self._config.inter_token_delay_s * (1 + crowd)

    # -- faults ---------------------------------------------------------------------------------

    def _strike(self, request: EngineRequest) -> str | None:
        """The fault of this request that shows later; the others happen here."""
        if self._dead:
            raise ReplicaUnavailable("The simulated engine is dead.")
        if self._ready_at is None:
            raise TierUnavailable("The simulated engine has not started.")
        fault = self._drill(request) or self._fault(request, self._ready_at)
        self._accepted += 1
        if fault == "die":
            self._die()
            raise EngineDead("The simulated engine died.")
        if fault == "stall":
            self._stall()
        if fault == "refuse_429":
            raise Overloaded("The simulated engine refuses this request.")
        if fault == "refuse_503":
            raise TierUnavailable("The simulated engine refuses this request.")
        return fault

    def _drill(self, request: EngineRequest) -> str | None:
        user = request.body.get("user")
        if self._config.allow_drills and isinstance(user, str) and user.startswith(DRILL):
            return user.removeprefix(DRILL)
        return None

    def _fault(self, request: EngineRequest, ready_at: float) -> str | None:
        age_s = asyncio.get_running_loop().time() - ready_at
        draw = zlib.crc32(f"{self._config.seed}:{request.request_id}".encode()) / 2**32
        for rule in self._config.faults:
            if not rule.timed and _applies(rule, self._accepted, age_s, draw):
                return rule.fault
        return None

    def _die(self) -> None:
        self._dead = True
        self._clock.halt()
        self._clock.wake()
        self._batch.fail_waiting(ReplicaUnavailable("The simulated engine died."))

    def _stall(self) -> None:
        self._clock.halt()


def _applies(rule: FaultRule, accepted: int, age_s: float, draw: float) -> bool:
    reached = accepted >= (rule.after_requests or 0) and age_s >= (rule.after_s or 0.0)
    return reached and draw < rule.rate
