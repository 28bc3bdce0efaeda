"""From logits to probabilities, and from the gain to the operator's constant 0.7."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.score import THRESHOLD

Floats = NDArray[np.float64]

#: Kept between a threshold and the ends of the gain's range, so that the map stays increasing.
_EDGE = 1e-5


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), finite for any finite x."""
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))


@dataclass(frozen=True)
class Calibrator:
    """Beta calibration (Kull et al., AISTATS 2017): Platt scaling whose two tails may differ.

    ``log_odds = slope * log p - slope_above * log(1 - p) + offset`` of the uncalibrated ``p``; with
    equal slopes it is Platt's scaling of the logit. Smooth, so that a budget never falls on ties.
    """

    slope: float
    offset: float
    slope_above: float

    def apply(self, logits: Floats) -> Floats:
        """Return probabilities, strictly increasing in the logit within [-60, 60]."""
        low, high = tails(np.asarray(logits, np.float64))
        return sigmoid(self.slope * low + self.slope_above * high + self.offset)

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> "Calibrator":
        """Return the calibrator that a manifest describes."""
        return cls(*(float(saved[key]) for key in ("slope", "offset", "slope_above")))


def tails(logits: Floats) -> tuple[Floats, Floats]:
    """Return ``log p`` and ``-log(1 - p)``: their sum is the logit, each bends at one end."""
    return -np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)


@dataclass(frozen=True)
class ComplexityMap:
    """Piecewise-linear, strictly increasing map of the gain [-1, 1] onto [0, 1]."""

    gain: tuple[float, ...]
    complexity: tuple[float, ...]

    def apply(self, gain: Floats) -> Floats:
        """Return complexity; the budget's gain maps to ``THRESHOLD`` exactly."""
        return np.interp(gain, self.gain, self.complexity)


def fit_map(gains: Floats, budget: float, effective: Floats | None = None) -> ComplexityMap:
    """Return the map that puts the (1 - budget) quantile of the effective gains at ``THRESHOLD``.

    The knots in between only spread the scale for people who look at it; the order of two
    prompts never changes. ``effective`` is the gain under the policy for unfamiliar prompts.
    """
    tau = float(threshold_gain(gains if effective is None else effective, budget))
    low, high = np.quantile(gains, [0.02, 0.998])
    below = [(float(low), 0.05)] if -1.0 < low < tau - 1e-6 else []
    above = [(float(high), 0.97)] if tau + 1e-6 < high < 1.0 else []
    knots = [(-1.0, 0.0), *below, (tau, THRESHOLD), *above, (1.0, 1.0)]
    return ComplexityMap(tuple(k[0] for k in knots), tuple(k[1] for k in knots))


def threshold_gain(gains: Floats, budget: float) -> float:
    """Return the gain at and above which at most ``budget`` of ``gains`` lie.

    It lies midway between the last prompt sent and the first one kept. Ties are never split:
    where the budget ends inside one, all of it stays, so the realised share is within the budget.
    """
    ordered = np.sort(np.asarray(gains, np.float64))
    kept = len(ordered) - int(np.floor(budget * len(ordered) + 1e-9))
    if kept <= 0:
        return -1.0 + _EDGE
    sent = ordered[ordered > ordered[kept - 1]]
    above = float(sent[0]) if len(sent) else float(ordered[-1]) + 2 * _EDGE
    return min(max((float(ordered[kept - 1]) + above) / 2.0, -1.0 + _EDGE), 1.0 - _EDGE)
