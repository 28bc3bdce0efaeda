"""The two rungs that read a prompt with an encoder: fine-tuned heads, and nearest neighbours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.encoding import Encoding
from classifier.errors import ArtifactError


class Neural:
    """Two heads on the first layers of MiniLM, fine-tuned end to end."""

    def __init__(self, graph: bytes, tokenizer: bytes) -> None:
        self._encode = Encoding(graph, tokenizer)
        logits = self._encode([""])
        if logits.shape != (1, 2) or not np.isfinite(logits).all():
            raise ArtifactError(
                f"the encoder's graph gives {logits.tolist()}, "
                "two finite logits expected; train again"
            )

    def logits(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [texts, 2] logits; the static vectors are not read."""
        return self._encode(texts)


#: Neighbours asked, and how fast their weight falls with the cosine. The best of 20 to 80 and of 4
#: to 14 at 200 labels and more (bench/classifier/learning_curve.py); both matter little there.
NEIGHBOURS, SHARPNESS = 40, 6.0
#: Stands for "this tier never ran" in the stored labels, which hold no NaN.
UNKNOWN = -1.0


class Neighbours:
    """Weighted mean outcome of the nearest labelled prompts, on the frozen first layers of MiniLM.

    Cosines are taken from the labelled prompts' mean: what all prompts share says nothing, and
    without it .03 of AUROC are lost at 200 labels.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], NDArray[np.float32]],
        arrays: Mapping[str, NDArray[Any]],
    ) -> None:
        self._encode = encode
        vectors = arrays["vectors"].astype(np.float32)
        self._centre = vectors.mean(0)
        self._vectors = self._units(vectors)
        self._labels = arrays["labels"].astype(np.float32)

    def logits(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [texts, 2] logits of the smoothed share of neighbours that were right."""
        cosines = self._units(self._encode(texts)) @ self._vectors.T
        k = min(NEIGHBOURS, cosines.shape[1])
        nearest = np.argpartition(cosines, -k, axis=1)[:, -k:]
        near = np.take_along_axis(cosines, nearest, 1)
        weight = np.exp(SHARPNESS * (near - near.max(1, keepdims=True)))[:, :, None]
        outcome = self._labels[nearest]
        known = outcome != UNKNOWN
        right = (weight * np.where(known, outcome, 0.0)).sum(1) + 0.5
        total = (weight * known).sum(1) + 1.0
        share = np.clip(right / total, 1e-4, 1 - 1e-4)
        logits: NDArray[np.float32] = np.log(share / (1 - share)).astype(np.float32)
        return logits

    def _units(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        away = vectors - self._centre
        units: NDArray[np.float32] = away / np.maximum(
            np.linalg.norm(away, axis=1, keepdims=True), 1e-6
        )
        return units
