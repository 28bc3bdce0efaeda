"""The traffic a threshold is set on: its map, its reachable scores, and what drift is held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Arrays
from classifier.calibration import Floats, fit_map
from classifier.familiarity import Policy, apply_policy, quantise
from classifier.threshold.budget import effective_gain

#: Prompts of traffic whose vectors and scores are kept for drift: 64 kB.
_KEPT = 1_000


@dataclass(frozen=True)
class Traffic:
    """Vectors and familiarity of some traffic, under a policy for unfamiliar prompts."""

    vectors: NDArray[np.float32]
    familiar: Floats
    policy: Policy

    def fit(self, gain: Floats, budget: float) -> tuple[dict[str, Any], Floats]:
        """Return a rung's manifest entry for this budget, and the traffic's complexities."""
        found = fit_map(gain, budget, effective_gain(gain, self.familiar, self.policy))
        scores = apply_policy(found.apply(gain), self.familiar, self.policy)
        entry = {
            "map": [list(found.gain), list(found.complexity)],
            "budget": budget,
            "reachable": [float(scores.min()), float(scores.max())],
            "traffic_rows": len(gain),
        }
        return entry, scores

    def arrays(self, scores: Mapping[str, Floats]) -> Arrays:
        """Return what drift needs: a sample of vectors, and each rung's scores of the same."""
        rows = np.sort(np.random.default_rng(0).permutation(len(self.vectors))[:_KEPT])
        kept = {name: values[rows].astype(np.float32) for name, values in scores.items()}
        return {"traffic": quantise(self.vectors[rows])} | kept
