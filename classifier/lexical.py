"""The lexical rung: hashed n-grams, surface features and a static vector, linear, numpy only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.ngrams import BUCKETS, buckets
from classifier.surface import NAMES, surface

#: Arrays of ``lexical.safetensors`` and their shapes but for the static vector's dimensions.
HASHED, DENSE, BIAS, MEAN, STD = "hashed", "dense", "bias", "mean", "std"


class Lexical:
    """Two linear heads, P(small right) and P(large right), as uncalibrated logits."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._hashed = arrays[HASHED].astype(np.float32)
        self._dense = arrays[DENSE].astype(np.float32)
        self._bias = arrays[BIAS].astype(np.float32)
        self._mean, self._std = arrays[MEAN], arrays[STD]

    @staticmethod
    def shapes(dimensions: int) -> dict[str, tuple[int, ...]]:
        """Return the shape that each array must have for static vectors of ``dimensions``."""
        surfaces = (len(NAMES),)
        dense = (len(NAMES) + dimensions, 2)
        return {HASHED: (BUCKETS, 2), DENSE: dense, BIAS: (2,), MEAN: surfaces, STD: surfaces}

    def logits(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [texts, 2] logits; ``vectors`` are the texts' static vectors."""
        return np.stack([self._one(t, v) for t, v in zip(texts, vectors, strict=True)])

    def _one(self, text: str, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = self._bias + self.dense(text, vector) @ self._dense
        for block in buckets(text):
            logits = logits + self._hashed[block].sum(0) / max(len(block), 1) ** 0.5
        total: NDArray[np.float32] = logits
        return total

    def dense(self, text: str, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the standardised surface features, clipped to 4 deviations, and the vector."""
        standard = np.clip((surface(text) - self._mean) / self._std, -4.0, 4.0)
        row: NDArray[np.float32] = np.concatenate([standard, vector]).astype(np.float32)
        return row
