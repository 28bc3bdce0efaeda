"""What a router is judged by. Pure functions of scores and outcomes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Points of the cost-quality curve, as in RouteLLM's evaluation (arXiv 2406.18665, section 5).
CURVE_POINTS = 10


@dataclass(frozen=True)
class Curve:
    """Quality against the share of calls sent to the large model, in percent."""

    calls: Floats
    quality: Floats
    small: float
    large: float

    @property
    def apgr(self) -> float:
        """Average performance gap recovered: 0.5 is random, 1 is all-large quality throughout."""
        area = np.trapezoid(self.quality, self.calls)
        gap = (self.large - self.small) * 100.0
        return float((area - self.small * 100.0) / gap) if gap else float("nan")

    def cpt(self, recovered: float) -> float:
        """Return the percent of calls that must go large to recover this share of the gap."""
        target = self.small + recovered * (self.large - self.small)
        return float(np.interp(target, self.quality, self.calls))


def curve(scores: Floats, small: Floats, large: Floats) -> Curve:
    """Return RouteLLM's curve: thresholds at ten quantiles of the score, plus both ends.

    Their code: ``pandas.qcut`` into 10 bins with duplicate edges dropped, a row goes large at
    ``score >= threshold``; percent of calls on the horizontal axis, accuracy on the vertical.
    """
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, CURVE_POINTS + 1))[:-1])
    points = [(0.0, float(small.mean()))]
    for edge in edges[::-1]:
        sent = scores >= edge
        points.append((100.0 * float(sent.mean()), float(np.where(sent, large, small).mean())))
    if points[-1][0] < 100.0:
        points.append((100.0, float(large.mean())))
    calls, quality = np.array(points).T
    return Curve(calls, quality, float(small.mean()), float(large.mean()))


def area(scores: Floats, small: Floats, large: Floats) -> float:
    """Return the mean quality over all budgets: defined also where the tiers are equally good."""
    found = curve(scores, small, large)
    return float(np.trapezoid(found.quality, found.calls) / 100.0)


def accuracy_at(scores: Floats, small: Floats, large: Floats, share: float) -> float:
    """Return the mean quality with the top ``share`` of the scores sent large, ties averaged."""
    count = round(share * len(scores))
    order = np.argsort(-scores, kind="stable")
    cut = scores[order[count - 1]] if count else np.inf
    certain, tied = scores > cut, scores == cut
    fraction = (count - certain.sum()) / max(tied.sum(), 1)
    sent = certain + tied * fraction
    return float((small + sent * (large - small)).mean())


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive outranks a negative, ties half; NaN for one class."""
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2.0) / (ones * zeros))


def within_group_auroc(
    scores: Floats, positive: NDArray[np.bool_], groups: NDArray[np.str_]
) -> float:
    """Return the mean AUROC inside groups that hold both outcomes, weighted by their rows."""
    rows = [(groups == g).nonzero()[0] for g in np.unique(groups)]
    found = [(auroc(scores[r], positive[r]), len(r)) for r in rows]
    known = [(value, n) for value, n in found if not np.isnan(value)]
    total = sum(n for _, n in known)
    return sum(value * n for value, n in known) / total if known else float("nan")


def ece(probability: Floats, outcome: Floats, bins: int = 15) -> float:
    """Return the expected calibration error over equally filled bins (Nixon et al., 2019)."""
    order = np.argsort(probability, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    gaps = [abs(float((probability[p] - outcome[p]).mean())) * len(p) for p in parts]
    return sum(gaps) / len(probability)


def ece_noise(probability: Floats, bins: int = 15, draws: int = 100) -> float:
    """Return the mean error that ``ece`` finds in perfect probabilities, on as many rows.

    Outcomes are drawn from the probabilities themselves; what ``ece`` reports beyond this is
    miscalibration, what lies below is noise.
    """
    rng = np.random.default_rng(0)
    found = [
        ece(probability, (rng.random(len(probability)) < probability).astype(np.float64), bins)
        for _ in range(draws)
    ]
    return float(np.mean(found))


def interval(
    measure: Callable[[NDArray[np.int64]], float], rows: int, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap 95% interval of ``measure(row indices)``; NaN draws are left out."""
    rng = np.random.default_rng(seed)
    values = np.array([measure(rng.integers(0, rows, rows)) for _ in range(draws)])
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
