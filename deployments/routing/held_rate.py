"""Holds the share of requests that escalate at its target while their scores drift.

A request's claim to the large tier is one number in [0, 1], whatever it rests on: its question's
score, its session, its answer. The threshold on it is a quantile of the claims of late, moved by
what the past owes: escalations that were too few or too many. Nothing here has a clock or a lock;
gateways agree by telling each other what they have seen (`Traffic`), in any order and any grain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deployments.settings.escalation import Escalation

# Claims are told apart to a thousandth; what is closer together counts as equal.
STEPS = 1000
# Above every claim: nothing escalates.
NEVER = (STEPS + 1) / STEPS
# The quantile is of the claims of so many escalations' worth of requests: fewer is noise, more is
# late. At 5%: 500 requests.
WINDOW_ESCALATIONS = 25
LEAST_WINDOW = 500
# What is owed is made up for within so many escalations' worth of requests. At 5%: 100.
REPAID_ESCALATIONS = 5
LEAST_REPAID = 100
# What is usual is known over so many windows.
USUAL_WINDOWS = 20
# Faded claims of less are not worth a word to others.
LEAST_TOLD = 0.005
# Anti-windup: no more is owed, either way, than in so many escalations' worth of requests.
OWED_ESCALATIONS = 50


@dataclass(frozen=True, slots=True)
class Traffic:
    """What gateways have seen of requests that may escalate. Sums and differences are exact."""

    requests: int = 0
    escalated: int = 0
    # How many claims by their thousandths; no key for none.
    claims: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: "Traffic") -> "Traffic":
        return self._with(other, 1)

    def __sub__(self, other: "Traffic") -> "Traffic":
        return self._with(other, -1)

    def _with(self, other: "Traffic", sign: int) -> "Traffic":
        claims = {
            step: count
            for step in self.claims.keys() | other.claims.keys()
            if (count := self.claims.get(step, 0) + sign * other.claims.get(step, 0))
        }
        return Traffic(
            self.requests + sign * other.requests, self.escalated + sign * other.escalated, claims
        )


@dataclass(frozen=True, slots=True)
class RateState:
    """Where the control stands, for `/v1/route`, the gauges and the log."""

    target_rate: float
    # The share of late, which forgets as the quantile does; the target before any request.
    rate: float
    threshold: float
    trained_threshold: float
    # What the threshold may not leave; the upper one may be above every claim.
    lowest: float
    highest: float
    # Escalations by which the past fell short of the target; negative: were too many.
    owed: float
    # All that was counted, here and elsewhere.
    requests: int
    # The share of the claims of late at or above the threshold.
    reach: float
    # How far the claims of late are from the usual ones, 0 to 1; 0 while too few are known.
    drift: float


class HeldRate:
    """The threshold that holds `target_rate`; starts at the trained one and leaves it with traffic.

    With a constant stream of one and the same claim, escalations still hold the rate: between two
    neighbouring thresholds, the one is taken that works off what is owed.
    """

    def __init__(self, config: Escalation, trained: float) -> None:
        self._config = config
        self._trained = trained
        target = config.target_rate
        self._held = config.hold and 0 < target < 1
        per_escalation = 1 / target if target > 0 else 0.0
        window = max(LEAST_WINDOW, WINDOW_ESCALATIONS * per_escalation)
        self._repaid = max(LEAST_REPAID, REPAID_ESCALATIONS * per_escalation)
        self._keep = 1 - 1 / window
        # What training saw: it fades as traffic comes, so that with little of it little changes.
        self._claims = window * _trained_claims(trained, target)
        self._usual = np.zeros(STEPS + 1)
        self._keep_usual = 1 - 1 / (USUAL_WINDOWS * window)
        self._late = np.array([window, window * target])  # requests, escalations
        self._owed = 0.0
        self._seen_requests = self._seen_escalated = 0
        self._seen_claims: dict[int, int] = {}
        self._requests = 0
        self._threshold: float | None = self._clamped(self._begin())

    @property
    def threshold(self) -> float:
        """The claim at and above which a request escalates."""
        if self._threshold is None:
            self._threshold = self._clamped(self._quantile())
        return self._threshold

    @property
    def seen(self) -> Traffic:
        """All that was counted here since the start: it only grows, so that the difference of two
        is what came between them."""
        return Traffic(self._seen_requests, self._seen_escalated, dict(self._seen_claims))

    @property
    def late(self) -> tuple[int, dict[int, float]]:
        """How many requests are known of, and the claims of late by step, faded as they are."""
        steps = np.flatnonzero(self._claims >= LEAST_TOLD)
        return self._requests, {int(at): round(float(self._claims[at]), 3) for at in steps}

    @property
    def state(self) -> RateState:
        """Where the control stands."""
        highest = self._config.max_threshold
        return RateState(
            target_rate=self._config.target_rate,
            rate=float(self._late[1] / self._late[0]),
            threshold=self.threshold,
            trained_threshold=self._trained,
            lowest=self._config.min_threshold if self._held else self.threshold,
            highest=(NEVER if highest is None else highest) if self._held else self.threshold,
            owed=self._owed,
            requests=self._requests,
            reach=self._reach(),
            drift=self._drift(),
        )

    def came(self) -> None:
        """Count one request that may escalate."""
        self._seen_requests += 1
        self._count(1, 0)

    def escalated(self) -> None:
        """Count one of them that did."""
        self._seen_escalated += 1
        self._count(0, 1)

    def claimed(self, claim: float) -> None:
        """Count what was in the end the claim of one of them."""
        step = step_of(claim)
        self._seen_claims[step] = self._seen_claims.get(step, 0) + 1
        self._claims *= self._keep
        self._claims[step] += 1.0
        self._usual *= self._keep_usual
        self._usual[step] += 1.0
        self._move()

    def heard(self, others: Traffic) -> None:
        """Take over what other gateways have counted since they were heard last."""
        heard = sum(others.claims.values())
        self._claims *= self._keep**heard
        self._usual *= self._keep_usual**heard
        for step, count in others.claims.items():
            at = min(max(step, 0), STEPS)
            self._claims[at] += count
            self._usual[at] += count
        self._count(others.requests, others.escalated)

    def inherit(self, others: Traffic) -> None:
        """Begin where others are: their claims, as many as the quantile is of, in place of what
        training saw."""
        told = sum(others.claims.values())
        if not told:
            return
        window = float(self._claims.sum())
        self._claims *= self._keep**told
        for step, count in others.claims.items():
            self._claims[min(max(step, 0), STEPS)] += count * min(1.0, window / told)
        self._requests += others.requests
        self._move()

    def begin_with(self, late: Mapping[int, float]) -> None:
        """Begin with another's claims of late in place of all that is known here."""
        claims = np.zeros(STEPS + 1)
        for step, weight in late.items():
            claims[min(max(step, 0), STEPS)] += weight
        if claims.sum() > 0:
            self._claims = claims * (self._claims.sum() / claims.sum())
            self._move()

    def configure(self, config: Escalation, trained: float) -> None:
        """Hold another target from now on, beginning at the threshold that the settings name; what
        was counted stays counted."""
        if (config, trained) == (self._config, self._trained):
            return
        seen, requests = self.seen, self._requests
        HeldRate.__init__(self, config, trained)
        self._seen_requests, self._seen_escalated = seen.requests, seen.escalated
        self._seen_claims, self._requests = dict(seen.claims), requests

    def _count(self, requests: int, escalated: int) -> None:
        target = self._config.target_rate
        self._requests += requests
        self._late *= self._keep**requests
        self._late += (requests, escalated)
        most = OWED_ESCALATIONS
        self._owed = min(max(self._owed + target * requests - escalated, -most), most)
        self._move()

    def _move(self) -> None:
        if self._held:
            self._threshold = None

    def _quantile(self) -> float:
        """The threshold over which lies the share that is wanted now."""
        # Not bounded by the cap, which guards itself: after a step down, what was high before lies
        # over all that comes now, and only a larger share reaches below it.
        wanted = self._config.target_rate + self._owed / self._repaid
        wanted = min(max(wanted, 0.0), 1.0)
        above = np.cumsum(self._claims[::-1])  # [i]: at or above the i-th step from the top
        at = int(np.searchsorted(above, wanted * above[-1] * (1 - 1e-9)))
        # At the step before, fewer escalate than is wanted, at this one as many or more.
        low = STEPS - min(at, STEPS)
        return (low if self._owed >= 0 and wanted > 0 else low + 1) / STEPS

    def _reach(self) -> float:
        if self.threshold > 1.0:
            return 0.0
        return float(self._claims[step_of(self.threshold) :].sum() / self._claims.sum())

    def _drift(self) -> float:
        """The largest distance between both distributions (Kolmogorov and Smirnov)."""
        window = 1 / (1 - self._keep)
        if self._usual.sum() < 4 * window:  # what training promised has not faded yet
            return 0.0
        late, usual = (np.cumsum(c) / c.sum() for c in (self._claims, self._usual))
        return float(np.abs(late - usual).max())

    def _begin(self) -> float:
        if self._config.target_rate == 0:
            return NEVER
        return 0.0 if self._config.target_rate == 1 else self._trained

    def _clamped(self, threshold: float) -> float:
        if not self._held:
            return threshold
        highest = self._config.max_threshold
        capped = threshold if highest is None else min(threshold, highest)
        return max(capped, self._config.min_threshold)


def step_of(claim: float) -> int:
    """The thousandth that a claim is counted in."""
    return min(max(int(claim * STEPS + 1e-9), 0), STEPS)


def _trained_claims(trained: float, target: float) -> NDArray[np.float64]:
    """The shares of claims by step that training promised: `target` of them at or above `trained`,
    and no more known of either part than that it is a part."""
    at = min(max(step_of(trained), 1), STEPS)
    shares = np.empty(STEPS + 1)
    shares[:at] = (1 - target) / at
    shares[at:] = target / (STEPS + 1 - at)
    return shares
