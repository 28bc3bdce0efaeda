"""Which of the operator's domains a prompt belongs to, from a few examples of each.

A softmax regression on the static embedding, with the training data's own vectors as the class
"other". It abstains below a confidence that cross-validation on the examples found to be right
nine times in ten, and on a prompt that lies farther from a domain's examples than they lie from
each other: without that, a third of the prompts of no domain got one (bench/classifier/domains.py).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import Floats
from classifier.embedding import StaticEmbedding
from classifier.errors import DataError
from classifier.text import clean

#: Fewer examples cannot be cross-validated.
LEAST_EXAMPLES = 4
#: Precision that the abstention is set for.
PRECISION = 0.9
_OTHER = "other"
_OTHER_ROWS, _FOLDS, _STEPS, _RATE, _PENALTY = 300, 4, 200, 2.0, 1e-3
#: Background nearer than this to an example may belong to its domain, and is not "other".
_NEAR_COSINE = 0.8
_SHARPNESS = 8.0  # unit vectors times 8: the softmax can become confident within _STEPS


class Domains:
    """Fitted domains; ``predict`` returns a name, or None for "other" and for doubt."""

    def __init__(
        self,
        names: Sequence[str],
        weights: Floats,
        confidence: float,
        examples: Sequence[NDArray[np.float32]],
    ) -> None:
        self.names = list(names)
        self._weights = weights
        self.confidence = confidence
        self._examples = list(examples)
        self._reach = [_reach(vectors) for vectors in examples]

    @classmethod
    def fit(
        cls,
        examples: Mapping[str, Sequence[str]],
        embedding: StaticEmbedding,
        background: NDArray[np.float32],
    ) -> "Domains":
        """Return domains learned from ``examples``; ``background`` is what "other" looks like."""
        few = [name for name, texts in examples.items() if len(set(texts)) < LEAST_EXAMPLES]
        if few or len(examples) < 1:
            raise DataError(f"domains {few}: give at least {LEAST_EXAMPLES} different examples")
        names = [*sorted(examples), _OTHER]
        texts = [(i, t) for i, name in enumerate(names[:-1]) for t in sorted(set(examples[name]))]
        own = np.stack([embedding.embed(clean(t)) for _, t in texts])
        far = background[(background @ own.T).max(1) < _NEAR_COSINE]
        other = far[:: max(len(far) // _OTHER_ROWS, 1)]
        vectors = _features(np.concatenate([own, other]))
        target = np.array([i for i, _ in texts] + [len(names) - 1] * len(other))
        weights = _softmax_regression(vectors, target, len(names))
        owners = np.array([i for i, _ in texts])
        each = [own[owners == i] for i in range(len(names) - 1)]
        return cls(names, weights, _confidence(vectors, target, len(names)), each)

    def predict(self, vector: NDArray[np.float32]) -> str | None:
        """Return the domain of a unit vector, or None."""
        shares = _softmax(_features(vector[None]) @ self._weights)[0]
        best = int(shares.argmax())
        if self.names[best] == _OTHER or shares[best] < self.confidence:
            return None
        near = float((self._examples[best] @ vector).max())
        return self.names[best] if near >= self._reach[best] else None


def _reach(vectors: NDArray[np.float32]) -> float:
    """Return the cosine of the loneliest example to its nearest fellow."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(1).min())


def _features(vectors: NDArray[np.float32]) -> Floats:
    ones = np.ones((len(vectors), 1))
    return np.hstack([vectors.astype(np.float64) * _SHARPNESS, ones])


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares


def _softmax_regression(vectors: Floats, target: NDArray[np.int64], classes: int) -> Floats:
    """Full-batch gradient descent, classes weighted equally; deterministic."""
    counts = np.bincount(target, minlength=classes)
    weight = (1.0 / np.maximum(counts, 1))[target][:, None] / classes
    wanted = np.eye(classes)[target]
    weights = np.zeros((vectors.shape[1], classes))
    for _ in range(_STEPS):
        error = (_softmax(vectors @ weights) - wanted) * weight
        weights -= _RATE * (vectors.T @ error + _PENALTY * weights)
    return weights


def _confidence(vectors: Floats, target: NDArray[np.int64], classes: int) -> float:
    """Return the least confidence at which held-out namings are right ``PRECISION`` of the time."""
    fold = np.random.default_rng(0).permutation(len(target)) % _FOLDS
    shares = np.zeros((len(target), classes))
    for k in range(_FOLDS):
        seen = fold != k
        weights = _softmax_regression(vectors[seen], target[seen], classes)
        shares[~seen] = _softmax(vectors[~seen] @ weights)
    best, sure = shares.argmax(1), shares.max(1)
    named, other = best != classes - 1, target == classes - 1
    # "Other" weighs as much as all examples together, or its rows would swamp a dozen examples.
    weight = np.where(other, (~other).sum() / max(other.sum(), 1), 1.0)
    for bar in np.linspace(0.5, 0.95, 19):
        chosen = named & (sure >= bar)
        right = float(weight[chosen & (best == target)].sum())
        if chosen.any() and right / weight[chosen].sum() >= PRECISION:
            return float(bar)
    return 0.95
