"""How well the escalated share is held when scores step: `python -m bench.escalation.held_rate`.

Recorded scores of one kind of traffic, then of another, drawn at random; gateways take turns at
random and tell each other what they have seen every `exchange_every` requests (one second at 100
requests a second). Pure: no clock, no network.
"""

import json
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.escalation.record_scores import SCORES
from deployments.routing.budget import Budget
from deployments.routing.held_rate import HeldRate, Traffic
from deployments.settings.escalation import Escalation

RESULTS = Path(__file__).with_name("results") / "held_rate.md"
KINDS = ("exam", "arithmetic", "questions", "bounded")
PAIRS = list(permutations(KINDS, 2))
SEEDS = range(20)


@dataclass(frozen=True)
class Run:
    """One replay."""

    gateways: int = 1
    seed: int = 0
    before: int = 4000
    after: int = 4000
    exchange_every: int = 100
    config: Escalation = field(default_factory=Escalation)


@dataclass(frozen=True)
class Replayed:
    """Which requests escalated, and the threshold that each met."""

    escalated: NDArray[np.bool_]
    thresholds: NDArray[np.float64]


class _Gateway:
    def __init__(self, config: Escalation) -> None:
        self.held = HeldRate(config, 0.7)
        self.told = Traffic()
        self._budget = Budget(config)

    def escalates(self, claim: float) -> bool:
        self._budget.earn()
        self.held.came()
        goes = claim >= self.held.threshold and self._budget.left
        if goes:
            self._budget.spend()
            self.held.escalated()
        self.held.claimed(claim)
        return goes


def replayed(before: list[int], after: list[int], run: Run) -> Replayed:
    """What becomes of requests whose scores, in thousandths, are drawn from one list, then from
    the other."""
    rng = np.random.default_rng(run.seed)
    claims = np.concatenate([rng.choice(before, run.before), rng.choice(after, run.after)]) / 1000
    gateways = [_Gateway(run.config) for _ in range(run.gateways)]
    turns = rng.integers(0, run.gateways, len(claims))
    escalated, thresholds = np.zeros(len(claims), bool), np.zeros(len(claims))
    for at, claim in enumerate(claims):
        gateway = gateways[turns[at]]
        thresholds[at] = gateway.held.threshold
        escalated[at] = gateway.escalates(float(claim))
        if run.gateways > 1 and at % run.exchange_every == 0:
            _exchange(gateways)
    return Replayed(escalated, thresholds)


def _exchange(gateways: list[_Gateway]) -> None:
    news = [gateway.held.seen - gateway.told for gateway in gateways]
    for one, gateway in enumerate(gateways):
        gateway.told = gateway.held.seen
        for other, said in enumerate(news):
            if other != one:
                gateway.held.heard(said)


def shares(escalated: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    """The share over every stretch of `window` requests."""
    total = np.concatenate([[0], np.cumsum(escalated)])
    shares_of: NDArray[np.float64] = (total[window:] - total[:-window]) / window
    return shares_of


def worst_stretch(escalated: NDArray[np.bool_], cap: float) -> float:
    """By how many escalations the worst stretch of any length exceeds `cap` of its requests."""
    excess = np.cumsum(escalated - cap)
    lowest = np.minimum.accumulate(np.concatenate([[0.0], excess[:-1]]))
    return float((excess - lowest).max())


def figures(before: list[int], after: list[int], gateways: int) -> dict[str, tuple[float, float]]:
    """The figures of one step over all seeds."""
    first, any_2000, excess = [], [], []
    for seed in SEEDS:
        run = Run(gateways=gateways, seed=seed)
        done = replayed(before, after, run).escalated
        first.append(done[run.before : run.before + 2000].mean())
        any_2000 += list(shares(done[run.before :], 2000))
        excess.append(worst_stretch(done, run.config.cap))
    return {
        "first": (min(first), max(first)),
        "any": (min(any_2000), max(any_2000)),
        "excess": (min(excess), max(excess)),
    }


def main() -> None:
    """Write `results/held_rate.md`."""
    scores = json.loads(SCORES.read_text())
    lines = [
        "# The escalated share when scores step",
        "",
        f"Target 5%, cap 10%, classifier artefact {scores['artifact']}, lowest and highest of",
        f"{len(SEEDS)} seeds. `python -m bench.escalation.held_rate` (pure, no clock).",
        "",
        "| from | to | gateways | first 2,000 requests after the step | any 2,000 after the step "
        "| most over the cap, escalations |",
        "|---|---|---|---|---|---|",
    ]
    for before, after in PAIRS:
        for gateways in (1, 2):
            row = figures(scores["scores"][before], scores["scores"][after], gateways)
            first, later = (
                " to ".join(f"{share:.2%}" for share in row[part]) for part in ("first", "any")
            )
            lines.append(
                f"| {before} | {after} | {gateways} | {first} | {later} | {row['excess'][1]:.0f} |"
            )
            print(lines[-1])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
