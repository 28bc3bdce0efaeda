"""What an operator asks for, as a share of requests, a threshold and what it is expected to buy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifier.calibration import Floats
from classifier.classifier import Classifier
from classifier.data.reading import read_rows, read_traffic
from classifier.data.rows import Row, labels
from classifier.errors import DataError
from classifier.familiarity import Policy
from classifier.judging.metrics import interval
from classifier.threshold.budget import Budget, set_budget, share_for_cost, share_for_quality
from classifier.threshold.recalibrate import Sighted, recalibrate, sight


@dataclass(frozen=True)
class Goal:
    """Exactly one of a share, a mean cost of a request in USD, or a mean quality."""

    budget: float | None
    max_cost_usd: float | None
    min_quality: float | None
    small_usd: float
    large_usd: float

    def __post_init__(self) -> None:
        """Refuse none or several goals."""
        given = (self.budget, self.max_cost_usd, self.min_quality)
        if sum(value is not None for value in given) != 1:
            raise DataError("give exactly one of --budget, --max-cost-usd and --min-quality")


@dataclass(frozen=True)
class Calibration:
    """The budget found, ready to be written into a copy of the artefact."""

    classifier: Classifier
    seen: Sighted
    share: float
    summary: dict[str, Any]

    def write(self, folder: Path) -> str:
        """Write the moved artefact and return its id."""
        return recalibrate(self.classifier, self.seen, self.share, folder)


def calibrate(
    classifier: Classifier,
    files: tuple[Path | None, Sequence[Path]],
    goal: Goal,
    max_half_width: float,
    policy: Policy | None,
) -> Calibration:
    """Return the threshold for a goal on traffic, labelled rows, or both."""
    traffic, labelled = files
    rows = read_rows(labelled) if labelled else []
    if traffic is None and not rows:
        raise DataError("give --traffic FILE (prompts) or --data FILE (labelled rows)")
    conversations = read_traffic(traffic) if traffic else [row.conversation for row in rows]
    seen = sight(classifier, conversations, policy)
    judged = sight(classifier, [row.conversation for row in rows], policy) if rows else None
    share = _share(goal, rows, judged)
    budget = set_budget(seen.effective, share, max_half_width)
    summary = _summary(budget, share, goal, seen)
    if judged is not None:
        summary |= _measured(rows, judged, budget)
    return Calibration(classifier, seen, share, summary)


def _share(goal: Goal, rows: Sequence[Row], judged: Sighted | None) -> float:
    if goal.budget is not None:
        return goal.budget
    if goal.max_cost_usd is not None:
        return share_for_cost(goal.max_cost_usd, goal.small_usd, goal.large_usd)
    if judged is None or goal.min_quality is None:
        raise DataError("--min-quality needs labelled rows: give --data FILE")
    small, large = _outcomes(rows)
    return share_for_quality(judged.effective, small, large, goal.min_quality)


def _outcomes(rows: Sequence[Row]) -> tuple[Floats, Floats]:
    found = labels(rows)
    if np.isnan(found).any():
        raise DataError("rows without `large` cannot say what quality escalating buys")
    return found[:, 0], found[:, 1]


def _summary(budget: Budget, share: float, goal: Goal, seen: Sighted) -> dict[str, Any]:
    sent = seen.effective >= budget.gain
    predicted = np.where(sent, seen.large, seen.small)
    return {
        "prompts": budget.prompts,
        "share": share,
        "threshold_gain": budget.gain,
        "rate": budget.rate,
        "rate_interval": list(budget.interval),
        "cost_usd": goal.small_usd + budget.rate * (goal.large_usd - goal.small_usd),
        "predicted_quality": float(predicted.mean()),
        "predicted_quality_all_small": float(seen.small.mean()),
    }


def _measured(rows: Sequence[Row], judged: Sighted, budget: Budget) -> dict[str, Any]:
    """Return the quality that the threshold buys on the labelled rows, with its interval."""
    if np.isnan(labels(rows)).any():
        return {}
    small, large = _outcomes(rows)
    chosen = np.where(judged.effective >= budget.gain, large, small)
    low, high = interval(lambda i: float(chosen[i].mean()), len(chosen))
    return {
        "measured_quality": float(chosen.mean()),
        "measured_quality_interval": [low, high],
        "measured_quality_all_small": float(small.mean()),
        "measured_quality_all_large": float(large.mean()),
    }
