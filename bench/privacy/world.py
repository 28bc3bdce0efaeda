"""A gateway, a small tier that fails as it is told, and an upstream outside that records.

Real are the gateway, the policy, the wire to the replica, the upstream engine, the door and its
sockets.
"""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from bench.privacy.cases import Case
from bench.privacy.recorder import Recorder
from classifier import Score
from deployments.accounting.exchange import Exchange
from deployments.accounting.ledger_line import ledger_line
from deployments.gateway.answering import Gateway
from deployments.gateway.hints import Hints
from deployments.gateway.ports import Ports, Tier
from deployments.privacy.policy import Subject
from deployments.protocol import wire
from deployments.protocol.apis import parse_call
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.routing.shared_state import LocalState
from deployments.settings.app import AppConfig
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.engine import UpstreamEngine

FAILURES: dict[str, type[ServingError]] = {
    "full": Overloaded,
    "down": TierUnavailable,
    "broken": EngineFailure,
    "too long": ContextLengthExceeded,
}
LOCAL = {"keys": ["key-7"], "tenants": ["clinic"], "models": ["big"]}


@dataclass(slots=True)
class Outcome:
    """What one request came to, and what of it could be seen outside."""

    tier: str | None = None
    error: ServingError | None = None
    answer: bytes = b""
    arrived: bytes = b""
    connections: int = 0
    # Log lines and the ledger's line.
    written: str = ""


class _Answer:
    """An `OpenAnswer` of a generator's chunks."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[Chunk]:
        found: AsyncIterator[Chunk] = self._chunks
        return found

    async def close(self) -> None:
        await self._chunks.aclose()


class _Small:
    """The tier inside."""

    def __init__(self) -> None:
        self.how = "answers"

    async def open(self, request: EngineRequest, deadline_s: float) -> _Answer:
        if failure := FAILURES.get(self.how):
            raise failure("The small tier was told to fail.")
        return _Answer(self._chunks())

    async def _chunks(self) -> AsyncIterator[Chunk]:
        if self.how == "answers":
            yield Chunk(b"inside", Usage(1, 1), content=True)
        yield Chunk(b"", Usage(1, 1), finish_reason="stop", done=True)


class _Large:
    """The tier outside: what a replica of it does with a request from the wire."""

    def __init__(self, engine: UpstreamEngine) -> None:
        self._engine = engine

    async def open(self, request: EngineRequest, deadline_s: float) -> _Answer:
        sent = wire.decode_request(orjson.loads(orjson.dumps(wire.encode_request(request))))
        return _Answer(self._engine.generate(sent))


class _Scorer:
    def __init__(self) -> None:
        self.complexity = 0.9

    async def score(self, conversation: Any) -> Score:
        return Score(self.complexity, 0.5, 0.5, 0.5, 0.5, None, "recorded")


class _Up:
    def up(self, tier: str) -> bool:
        return True


class World:
    """Everything, for one privacy config; made by `world`."""

    def __init__(self, config: AppConfig, recorder: Recorder, engine: UpstreamEngine) -> None:
        self._recorder = recorder
        self._small, self._scorer = _Small(), _Scorer()
        self._settled: list[Exchange] = []
        tiers: dict[Any, Tier] = {"small": self._small, "large": _Large(engine)}
        ports = Ports(self._scorer, tiers, _Up(), LocalState(config), self._settled.append)
        self._gateway = Gateway(config, ports)
        self._everything_local = Gateway(config.model_copy(update={"local_only": True}), ports)

    async def ask(self, case: Case) -> Outcome:
        """Send one request down its path."""
        self._recorder.begin(case.upstream)
        self._small.how, self._scorer.complexity = case.small, case.score
        outcome, subject = Outcome(), Subject()
        if case.local_by == "key":
            subject = Subject(key="key-7")
        elif case.local_by == "tenant":
            subject = Subject(key="key-8", tenant="clinic")
        hints = Hints(
            "r-1", case.min_tier_large, case.local_by == "header", timeout_s=5.0, subject=subject
        )
        gateway = self._everything_local if case.local_by == "config" else self._gateway
        with _logged() as lines:
            await self._answer(gateway, case, hints, outcome)
        outcome.arrived = bytes(self._recorder.received)
        outcome.connections = self._recorder.connections
        last = self._settled.pop() if self._settled else None
        line = json.dumps(ledger_line(last, 0.0)) if last else ""
        outcome.written = "\n".join([*lines, line, repr(last)])
        return outcome

    async def _answer(self, gateway: Gateway, case: Case, hints: Hints, outcome: Outcome) -> None:
        try:
            request, _ = parse_call(None, orjson.dumps(case.body))
        except InvalidRequest as error:
            outcome.error = error
            return
        async with gateway.admit(request, hints, 0.0) as answering:
            try:
                await answering.open()
                outcome.answer = b"".join([item async for item in answering])
            except ServingError as error:
                outcome.error = error
            last = answering.exchange.last
            outcome.tier = last.tier if last else None


@asynccontextmanager
async def world(**privacy: Any) -> AsyncIterator[World]:
    """A world with this privacy config, as YAML would say it."""
    settings = PrivacyConfig.model_validate({"local": LOCAL, **privacy})
    async with Recorder().running() as recorder:
        upstream = UpstreamConfig(
            base_url=recorder.url, model="provider", retry_backoff_s=0.001, breaker_failures=10**9
        )
        config = AppConfig.model_validate(
            {
                "small": {"model": "little", "engine": {"kind": "simulated"}},
                "large": {"model": "big", "engine": upstream.model_dump()},
                "privacy": settings.model_dump(),
                # Every path stays open, however often it is taken.
                "escalation": {"hold": False, "max_rate": 1.0, "burst": 10**6},
            }
        )
        engine = UpstreamEngine(upstream, None, settings)
        await engine.start()
        try:
            yield World(config, recorder, engine)
        finally:
            await engine.stop()


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Every line that anything logs meanwhile."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
