"""What the gateway is handed: a classifier, tiers and their health. Serve's or a test's."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from classifier import Score
from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import EngineRequest
from deployments.settings.app import TierName


class Scorer(Protocol):
    """Scores a conversation; None where no score came in time."""

    async def score(self, conversation: Any) -> Score | None:
        """The classifier's judgement."""


class OpenAnswer(Protocol):
    """An answer whose first chunk is here."""

    # The name under which the replica serves what answers; empty where it did not say.
    model: str

    def __aiter__(self) -> AsyncIterator[Chunk]: ...

    async def __anext__(self) -> Chunk: ...

    async def close(self) -> None:
        """Stop the generation."""


class Tier(Protocol):
    """Opens answers on one tier."""

    async def open(self, request: EngineRequest, deadline_s: float) -> OpenAnswer:
        """The answer once its first item is here. Raises: `ServingError`."""


class Health(Protocol):
    """Which tiers are up."""

    def up(self, tier: TierName) -> bool:
        """Whether the tier can answer."""
