"""This project's gateway in one process, without Ray, in front of a list of upstreams."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette

from classifier import Score
from deployments.gateway.answering import Gateway
from deployments.gateway.ports import Ports, Tier
from deployments.http.api import build_api
from deployments.http.api_keys import ApiKeys
from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import Engine, EngineRequest
from deployments.replicas.build_engine import build_engine
from deployments.routing.shared_state import LocalState
from deployments.settings.app import AppConfig, TierName


class _Answer:
    def __init__(self, chunks: AsyncGenerator[Chunk, None], first: Chunk) -> None:
        self._chunks = chunks
        self._first: Chunk | None = first

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        first, self._first = self._first, None
        return first if first is not None else await anext(self._chunks)

    async def close(self) -> None:
        await self._chunks.aclose()


class _EngineTier:
    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._model = model

    async def open(self, request: EngineRequest, deadline_s: float) -> _Answer:
        own = replace(request, body={**request.body, "model": self._model})
        chunks = self._engine.generate(own)
        return _Answer(chunks, await anext(chunks))


class _Up:
    def up(self, tier: TierName) -> bool:
        return True


class _NoScorer:
    async def score(self, conversation: Any) -> Score | None:
        return None


@contextlib.asynccontextmanager
async def gateway_app(targets: list[dict[str, Any]]) -> AsyncIterator[Starlette]:
    """The application; its small tier is simulated, its large one asks the targets in order."""
    config = AppConfig.model_validate(
        {
            "small": {"model": "small-sim", "engine": {"kind": "simulated"}},
            "large": {"model": "big", "targets": targets},
        }
    )
    engines = {name: build_engine(tier, config.privacy) for name, tier in config.tiers.items()}
    for engine in engines.values():
        await engine.start()
    tiers: dict[TierName, Tier] = {
        name: _EngineTier(one, config.tiers[name].model) for name, one in engines.items()
    }
    ports = Ports(_NoScorer(), tiers, _Up(), LocalState(config), lambda _: None)
    try:
        yield build_api(Gateway(config, ports), ApiKeys(None), lambda _: 1, on_loopback=True)
    finally:
        for engine in engines.values():
            await engine.stop()
