"""How close a prompt lies to the training data: the guard of a score that does not transfer."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.score import THRESHOLD

Policy = Literal["small", "large", "score"]

#: Neighbours averaged; 5 of 2,000 is stable against one odd training row.
_NEIGHBOURS = 5
#: Prompts stranger than this share of the held-out training prompts are unfamiliar.
UNFAMILIAR_BELOW = 0.05
#: Training vectors kept. 2,000 x 64 int8 are 128 kB, and a product of 0.05 ms.
REFERENCES = 2_000
_QUANTILES = np.linspace(0.0, 1.0, 41)


class Familiarity:
    """Mean cosine to the nearest training vectors, read as a share of held-out prompts."""

    def __init__(self, reference: NDArray[np.int8], quantiles: list[float]) -> None:
        self.reference = dequantise(reference)
        self._quantiles = np.asarray(quantiles)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return familiarity in [0, 1] of unit vectors [rows, dimensions]."""
        near = nearness(vectors, self.reference)
        return np.interp(near, self._quantiles, _QUANTILES)


def quantise(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return unit vectors in int8: a hundredth of a cosine is lost, three quarters of the size."""
    return np.round(vectors * 127.0).astype(np.int8)


def dequantise(stored: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the unit vectors that ``quantise`` stored."""
    vectors = stored.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: NDArray[np.float32] = vectors / np.maximum(norms, 1e-6)
    return units


def nearness(vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean cosine of each vector to its nearest references."""
    cosines = vectors @ reference.T
    k = min(_NEIGHBOURS, cosines.shape[1])
    top: NDArray[np.float32] = np.partition(cosines, -k, axis=1)[:, -k:].mean(1)
    return top


def fit_familiarity(
    training: NDArray[np.float32], held_out: NDArray[np.float32], seed: int
) -> tuple[NDArray[np.int8], list[float]]:
    """Return the reference vectors and the quantiles of held-out nearness to them."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(training))[:REFERENCES]
    reference = quantise(training[np.sort(chosen)])
    fitted = Familiarity(reference, [0.0, 1.0])
    quantiles = np.quantile(nearness(held_out, fitted.reference), _QUANTILES)
    # Strictly increasing, or interpolation is undefined where many prompts are the same.
    steps = np.maximum.accumulate(quantiles) + np.arange(len(quantiles)) * 1e-7
    return reference, [float(q) for q in steps]


def apply_policy(
    complexity: NDArray[np.float64], familiar: NDArray[np.float64], policy: Policy
) -> NDArray[np.float64]:
    """Return the complexity with unfamiliar prompts pressed to the policy's side.

    Pressed, not replaced: within one side the order stays, so a budget still has ranks to cut.
    """
    unfamiliar = familiar < UNFAMILIAR_BELOW
    if policy == "small":
        return np.where(unfamiliar, complexity * THRESHOLD * 0.999, complexity)
    if policy == "large":
        return np.where(unfamiliar, THRESHOLD + (1.0 - THRESHOLD) * complexity, complexity)
    return complexity
