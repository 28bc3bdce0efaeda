"""A rung with its calibrators: texts to the two probabilities that everything else rests on."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.calibration import Calibrator, Floats
from classifier.encoding import Encoding
from classifier.lexical import Lexical
from classifier.neural import Neighbours, Neural


class Rung(Protocol):
    """A model of the ladder: texts, and their static vectors, to two uncalibrated logits."""

    def logits(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [texts, 2] logits of P(small right) and P(large right)."""
        ...


@dataclass(frozen=True)
class Headed:
    """A rung, the calibrator of each head, and whether the large tier is taken as right."""

    rung: Rung
    heads: tuple[Calibrator, Calibrator]
    objective: str

    def probabilities(
        self, texts: Sequence[str], vectors: NDArray[np.float32]
    ) -> tuple[Floats, Floats]:
        """Return calibrated P(small right) and P(large right) of each text."""
        logits = self.rung.logits(texts, vectors).astype(np.float64)
        small = self.heads[0].apply(logits[:, 0])
        if self.objective == "fail":
            return small, np.ones_like(small)
        return small, self.heads[1].apply(logits[:, 1])


def open_headed(artifact: Artifact, name: str, dimensions: int) -> Headed:
    """Return one rung of an artefact; ``dimensions`` are those of its static vectors."""
    small, large = (Calibrator.read(c) for c in artifact.manifest["rungs"][name]["calibration"])
    rung = _rung(artifact, name, dimensions)
    return Headed(rung, (small, large), str(artifact.manifest["objective"]))


def serving_rung(artifact: Artifact) -> str:
    """Return the artefact's chosen rung, or its lexical one where onnxruntime is missing."""
    name = str(artifact.manifest["serving"])
    return name if importlib.util.find_spec("onnxruntime") is not None else "lexical"


def _rung(artifact: Artifact, name: str, dimensions: int) -> Rung:
    if name == "neural":
        return Neural(artifact.read("encoder.onnx"), artifact.read("tokenizer.json"))
    if name == "neighbours":
        encode = Encoding(artifact.read("frozen.onnx"), artifact.read("tokenizer.json"))
        shapes = {"vectors": (None, None), "labels": (None, 2)}
        return Neighbours(encode, artifact.arrays("neighbours.safetensors", shapes))
    return Lexical(artifact.arrays("lexical.safetensors", Lexical.shapes(dimensions)))
