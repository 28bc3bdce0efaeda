"""State that all gateways of an application share, as one of them holds it."""

from collections.abc import Iterable, Sequence

from deployments.routing.budget import Budget
from deployments.routing.held_rate import HeldRate, RateState, Traffic
from deployments.routing.killers import Killers
from deployments.routing.sessions import Binding, Sessions
from deployments.routing.sharing import Remembered, Said, Summary, remember
from deployments.settings.app import AppConfig


class RateSummary:
    """What gateways tell each other of the requests that may escalate."""

    def __init__(self, held: HeldRate) -> None:
        self._held = held
        self._heard: dict[str, Traffic] = {}
        self._first = True

    def say(self) -> tuple[int, int, dict[int, int]]:
        """All that was counted here since the start."""
        seen = self._held.seen
        return seen.requests, seen.escalated, dict(seen.claims)

    def hear(self, others: Sequence[Said]) -> None:
        """Count what came since each was heard last; begin where they are, the first time."""
        first, self._first = self._first, False
        told = {gateway: Traffic(*summary) for gateway, _, summary in others}
        for gateway, traffic in told.items():
            news = traffic - self._heard.get(gateway, Traffic())
            (self._held.inherit if first else self._held.heard)(news)
        remember(self._heard, told)


class LateSummary:
    """Where a gateway that begins takes its threshold from.

    What was counted since the others began tells their usual traffic; where it has drifted their
    threshold has, too.
    """

    def __init__(self, held: HeldRate) -> None:
        self._held = held
        self._first = True

    def say(self) -> tuple[int, dict[int, float]]:
        """The claims of late, and of how many requests they are the last."""
        return self._held.late

    def hear(self, others: Sequence[Said]) -> None:
        """Begin with the claims of whoever knows most, the first time."""
        if self._first and others:
            # Not of the one heard last: it may itself have begun just now, and know nothing yet.
            known, late = max((said.summary for said in others), key=lambda told: told[0])
            if known:
                self._held.begin_with(late)
        self._first = False


class LocalState:
    """`SharedState` as far as this gateway knows it: complete while it is alone.

    What stands in `summaries` and `entries` is exchanged with the other gateways beside the path
    of a request (`replicas.board_client`); nothing here waits for that.
    """

    def __init__(self, config: AppConfig) -> None:
        self._budget = Budget(config.escalation)
        self.held = HeldRate(config.escalation, config.classifier.threshold)
        self._sessions = Sessions(config.gateway.session_ttl_s)
        self._killers = Killers()
        self.summaries: dict[str, Summary] = {
            "budget": self._budget,
            "rate": RateSummary(self.held),
            "late": LateSummary(self.held),
        }
        self.entries: dict[str, Remembered] = {
            "bindings": self._sessions.bound,
            "deaths": self._killers.deaths,
        }

    def configure(self, config: AppConfig) -> None:
        """Hold other limits from now on, and forget nothing."""
        self._budget.configure(config.escalation)
        self.held.configure(config.escalation, config.classifier.threshold)
        self._sessions.ttl_s = config.gateway.session_ttl_s

    @property
    def rate(self) -> RateState:
        """Where the control of the escalated share stands."""
        return self.held.state

    @property
    def threshold(self) -> float:
        """The claim at and above which a request escalates now."""
        return self.held.threshold

    def earn(self) -> None:
        """Count one request that may escalate."""
        self._budget.earn()
        self.held.came()

    def claimed(self, claim: float) -> None:
        """Count what was in the end the claim of one of them."""
        self.held.claimed(claim)

    def affords(self, paid_elsewhere: bool) -> bool:
        """Whether one more escalation fits; on credit where another gateway may have paid."""
        return self._budget.credit if paid_elsewhere else self._budget.left

    def spend(self) -> None:
        """Count one escalation."""
        self._budget.spend()
        self.held.escalated()

    def bound(self, key: bytes | None, now_s: float) -> Binding | None:
        """Where the session or turn was answered last."""
        return self._sessions.get(key, now_s)

    def bind(self, key: bytes, binding: Binding | None, now_s: float) -> None:
        """Remember where a session or turn was answered; None: forget it."""
        if binding is None:
            self._sessions.forget(key, now_s)
        else:
            self._sessions.put(key, binding, now_s)

    def engine_died(self, prints: Iterable[bytes], deaths: int, now_s: float) -> None:
        """Remember a request under which engines died."""
        self._killers.died(prints, deaths, now_s)

    @property
    def has_seen_deaths(self) -> bool:
        """Whether any request is remembered as one under which an engine died."""
        return len(self._killers) > 0

    def refused_s(self, prints: Iterable[bytes], now_s: float) -> float:
        """For how much longer a request is refused; 0: it is not."""
        return self._killers.refused_s(prints, now_s)
