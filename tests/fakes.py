"""Stand-ins for Serve's handles and the classifier: what they are told, without Ray or chance."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from classifier import Score
from deployments.protocol.engine import EngineRequest
from deployments.protocol.wire import decode_request
from deployments.replicas.tier import ModelTier
from deployments.settings.app import TierConfig


def score_of(complexity: float) -> Score:
    """A score with this complexity; the other numbers follow from it."""
    return Score(complexity, 1.0 - complexity, 1.0, complexity, 0.5, "general", "test-artifact")


class FakeScorer:
    """Gives every conversation the same complexity; None: no score came in time."""

    def __init__(self, complexity: float | None = 0.1) -> None:
        self.complexity = complexity
        self.asked: list[Any] = []

    async def score(self, conversation: Any) -> Score | None:
        self.asked.append(conversation)
        return None if self.complexity is None else score_of(self.complexity)


class FakeResponse:
    """What `handle.remote` gives: an iterator with `cancel`, which ends the replica's work."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self.cancelled = False

    async def __anext__(self) -> Any:
        return await anext(self._items)

    def cancel(self) -> None:
        self.cancelled = True
        self._closing = asyncio.ensure_future(self._close())

    async def _close(self) -> None:
        while True:
            with suppress(RuntimeError):  # its reader has not let go of it yet
                await self._items.aclose()
                return
            await asyncio.sleep(0)


class FakeHandle:
    """A streaming deployment handle whose replica is a function."""

    def __init__(self, generate: Callable[[dict[str, Any]], AsyncIterator[Any]]) -> None:
        self.generate = generate
        self.requests: list[EngineRequest] = []
        self.responses: list[FakeResponse] = []

    def options(self, **_: Any) -> "FakeHandle":
        return self

    def remote(self, request: dict[str, Any]) -> FakeResponse:
        self.requests.append(decode_request(request))
        self.responses.append(FakeResponse(self.generate(request)))
        return self.responses[-1]


class LocalTier(ModelTier):
    """A real replica in this process: where it would exit it says why, and it ends when told."""

    exits: list[str]

    def _exit(self, why: str) -> None:
        self.exits.append(why)

    def __del__(self) -> None:  # type: ignore[override]  # Serve awaits the parent's; nobody does here
        """Do nothing."""

    async def end(self) -> None:
        await ModelTier.__del__(self)


async def local_tier(config: TierConfig, name: str = "small") -> LocalTier:
    """A started replica of this tier."""
    tier = LocalTier.__new__(LocalTier)
    tier.exits = []
    await tier.__init__(name, config)  # type: ignore[misc]  # as Serve starts it
    return tier
