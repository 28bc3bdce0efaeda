"""Watches itself: does today's traffic still look like what the threshold was set on?

The population stability index sees nothing of a 10 to 20% foreign mix in the score; a shift of
the mean embedding, held against its bootstrap null, does. Only sums and scores are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import Floats
from classifier.familiarity import UNFAMILIAR_BELOW
from classifier.score import Score

#: Prompts per window: 300 see a 20% mix, and at 1 request a second take five minutes.
WINDOW = 300
#: False-alarm rates of the two tests; together under 2 in 100 windows.
SHIFT_ALARM, KS_ALARM = 0.01, 0.002
#: Bootstrap windows behind the null; the 1% quantile then rests on 10 draws.
_DRAWS = 1_000


@dataclass(frozen=True)
class DriftReport:
    """One window against the reference. ``alarm`` says that a person should look."""

    prompts: int
    shift: float
    shift_p: float
    ks: float
    ks_p: float
    unfamiliar_rate: float
    escalation_rate: float
    alarm: bool

    @staticmethod
    def about() -> dict[str, str]:
        """Return what each figure is, by name, for a metrics exporter."""
        return {
            "prompts": "Prompts in the window",
            "shift": "Distance of the mean embedding from the reference traffic",
            "shift_p": "Chance of such a distance without drift",
            "ks": "Kolmogorov-Smirnov distance of the scores",
            "ks_p": "Chance of such a distance of the scores without drift",
            "unfamiliar_rate": "Share of prompts unlike the training data",
            "escalation_rate": "Share of scores at or above the threshold",
            "alarm": "1 where a person should look",
        }


class DriftMonitor:
    """The reference traffic's embedding and scores, and the null of windows of one size."""

    def __init__(
        self, vectors: NDArray[np.float32], scores: Floats, window: int = WINDOW, seed: int = 0
    ) -> None:
        self.window = window
        self.scores = np.sort(scores)
        self._mean, self._spread = vectors.mean(0), vectors.std(0) + 0.02
        rng = np.random.default_rng(seed)
        null = [self._null(vectors, rng) for _ in range(_DRAWS)]
        self._null_shifts = np.sort(null)

    def _null(self, vectors: NDArray[np.float32], rng: np.random.Generator) -> float:
        """One window against one resampled reference: both are samples of the same traffic."""
        n = len(vectors)
        window = vectors[rng.integers(0, n, self.window)].mean(0)
        reference = vectors[rng.integers(0, n, n)].mean(0)
        return float(np.linalg.norm((window - reference) / self._spread))

    def report(
        self, vectors: NDArray[np.float32], scores: Floats, familiar: Floats, threshold: float
    ) -> DriftReport:
        """Return what one window of unit vectors, complexities and familiarities says."""
        shift = float(np.linalg.norm((vectors.mean(0) - self._mean) / self._spread))
        above = _DRAWS - int(np.searchsorted(self._null_shifts, shift))
        shift_p = (above + 1) / (_DRAWS + 1)
        ks, ks_p = kolmogorov_smirnov(np.sort(scores), self.scores)
        return DriftReport(
            len(scores),
            shift,
            shift_p,
            ks,
            ks_p,
            float((familiar < UNFAMILIAR_BELOW).mean()),
            float((scores >= threshold).mean()),
            shift_p <= SHIFT_ALARM or ks_p <= KS_ALARM,
        )

    def windows(
        self, vectors: NDArray[np.float32], scores: Floats, familiar: Floats, threshold: float
    ) -> Sequence[DriftReport]:
        """Return a report per full window; the rest at the end is left out."""
        starts = range(0, len(scores) - self.window + 1, self.window)
        parts = [slice(start, start + self.window) for start in starts]
        return [self.report(vectors[p], scores[p], familiar[p], threshold) for p in parts]


class DriftWatch:
    """Collects scored prompts, and reports on each full window; keeps no text."""

    def __init__(self, monitor: DriftMonitor, threshold: float) -> None:
        self._monitor, self.threshold = monitor, threshold
        self._rows: list[tuple[NDArray[np.float32], Score]] = []

    def add(self, vector: NDArray[np.float32], score: Score) -> DriftReport | None:
        """Return the window's report where this prompt completes it."""
        self._rows.append((vector, score))
        if len(self._rows) < self._monitor.window:
            return None
        rows, self._rows = self._rows, []
        figures = np.array([(s.complexity, s.familiar) for _, s in rows])
        vectors = np.stack([v for v, _ in rows])
        return self._monitor.report(vectors, figures[:, 0], figures[:, 1], self.threshold)


def kolmogorov_smirnov(a: Floats, b: Floats) -> tuple[float, float]:
    """Return the two-sample statistic of sorted samples and its asymptotic p-value.

    Kolmogorov's series with Stephens' small-sample correction (Numerical Recipes, 14.3.3).
    """
    both = np.concatenate([a, b])
    cdf_a = np.searchsorted(a, both, side="right") / len(a)
    cdf_b = np.searchsorted(b, both, side="right") / len(b)
    statistic = float(np.abs(cdf_a - cdf_b).max())
    root = np.sqrt(len(a) * len(b) / (len(a) + len(b)))
    x = (root + 0.12 + 0.11 / root) * statistic
    if x < 0.2:  # the series does not converge there, and the probability is 1
        return statistic, 1.0
    k = np.arange(1, 101)
    p = 2.0 * float(((-1.0) ** (k - 1) * np.exp(-2.0 * k**2 * x**2)).sum())
    return statistic, min(max(p, 0.0), 1.0)
