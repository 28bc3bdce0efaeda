"""What the gateway is handed: a classifier, tiers, their health, state, a book. Serve's or a
test's."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from classifier import Score
from deployments.accounting.accounts import Accounts
from deployments.accounting.exchange import Exchange
from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import EngineRequest
from deployments.routing.held_rate import RateState
from deployments.routing.sessions import Binding
from deployments.settings.app import TierName


class Scorer(Protocol):
    """Scores a conversation; None where no score came in time."""

    async def score(self, conversation: Any) -> Score | None:
        """The classifier's judgement."""


class OpenAnswer(Protocol):
    """An answer whose first chunk is here; the last one has `done`."""

    def __aiter__(self) -> AsyncIterator[Chunk]: ...

    async def close(self) -> None:
        """Stop the generation."""


class Tier(Protocol):
    """Opens answers on one tier."""

    async def open(self, request: EngineRequest, deadline_s: float) -> OpenAnswer:
        """The answer once its first chunk is here.

        Raises: `ServingError`; `EngineDead` only after engines died under this request twice.
        """


class Health(Protocol):
    """Which tiers are up."""

    def up(self, tier: TierName) -> bool:
        """Whether the tier can answer."""


class SharedState(Protocol):
    """What all gateways of an application must agree on.

    Every call answers at once, from what this process holds: an implementation that shares the
    state does so beside the path of a request (a lease of the budget, a copy of the bindings), so
    that its absence slows or stops nobody.
    """

    @property
    def rate(self) -> RateState:
        """Where the control of the escalated share stands."""

    @property
    def threshold(self) -> float:
        """The claim at and above which a request escalates now."""

    def earn(self) -> None:
        """Count one request that may escalate."""

    def claimed(self, claim: float) -> None:
        """Count what was in the end the claim of one of them."""

    def affords(self, paid_elsewhere: bool) -> bool:
        """Whether one more escalation fits; on credit where another gateway may have paid."""

    def spend(self) -> None:
        """Count one escalation."""

    def bound(self, key: bytes | None, now_s: float) -> Binding | None:
        """Where the session or turn was answered last."""

    def bind(self, key: bytes, binding: Binding | None, now_s: float) -> None:
        """Remember where a session or turn was answered; None: forget it."""

    def engine_died(self, prints: Iterable[bytes], deaths: int, now_s: float) -> None:
        """Remember a request under which engines died."""

    @property
    def has_seen_deaths(self) -> bool:
        """Whether any request is remembered as one under which an engine died."""

    def refused_s(self, prints: Iterable[bytes], now_s: float) -> float:
        """For how much longer a request is refused; 0: it is not."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All of it."""

    scorer: Scorer
    tiers: Mapping[TierName, Tier]
    health: Health
    state: SharedState
    # Gets every exchange once, when it is over; must not raise (accounting.settlement).
    settle: Callable[[Exchange], None]
    # Keys' money and limits; None: there are none.
    accounts: Accounts | None = None
    # Gets every exchange once, when it is admitted.
    opened: Callable[[Exchange], None] = lambda _: None
