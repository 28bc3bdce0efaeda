"""From logits to probabilities, and from the gain to the operator's constant 0.7."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.score import THRESHOLD

Floats = NDArray[np.float64]

#: Share of the Platt probability mixed into the isotonic one: keeps the map strictly monotone,
#: since isotonic alone folds 1,500 scores into about 50 values and a budget falls on ties.
_TIE_BREAK = 0.02
#: Kept between a threshold and the ends of the gain's range, so that the map stays increasing.
_EDGE = 1e-5


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), finite for any finite x."""
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))


@dataclass(frozen=True)
class Calibrator:
    """Platt scaling, mixed with an isotonic step function where ``x`` and ``y`` are given."""

    slope: float
    offset: float
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def apply(self, logits: Floats) -> Floats:
        """Return probabilities, strictly increasing in the logit within [-60, 60]."""
        platt = sigmoid(self.slope * np.asarray(logits, np.float64) + self.offset)
        if not self.x:
            return platt
        return (1 - _TIE_BREAK) * np.interp(logits, self.x, self.y) + _TIE_BREAK * platt

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> "Calibrator":
        """Return the calibrator that a manifest describes."""
        x, y = saved.get("x", ()), saved.get("y", ())
        return cls(float(saved["slope"]), float(saved["offset"]), tuple(x), tuple(y))


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
