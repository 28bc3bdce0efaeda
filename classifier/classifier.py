"""Scores conversations with a trained artefact: the code that runs on every request."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import SHIPPED, Artifact, open_artifact
from classifier.calibration import Calibrator, ComplexityMap
from classifier.embedding import StaticEmbedding
from classifier.encoding import Encoding
from classifier.errors import ArtifactError
from classifier.familiarity import Familiarity, Policy, apply_policy
from classifier.lexical import Lexical
from classifier.neural import Neighbours, Neural
from classifier.score import THRESHOLD, Score
from classifier.text import Conversation, flatten

Floats = NDArray[np.float64]


class Rung(Protocol):
    """A model of the ladder: texts, and their static vectors, to two uncalibrated logits."""

    def logits(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [texts, 2] logits of P(small right) and P(large right)."""
        ...


class Classifier:
    """A loaded artefact. Deterministic, thread-safe, and never raises on any text."""

    def __init__(self, artifact: Artifact) -> None:
        manifest = artifact.manifest
        self.artifact = artifact
        self.artifact_id: str = artifact.artifact_id
        self.embedding = static_embedding(artifact)
        self.rung_name, self.rung = _rung(artifact, self.embedding.dimensions)
        entry = manifest["rungs"][self.rung_name]
        self._heads = [Calibrator.read(head) for head in entry["calibration"]]
        self._map = ComplexityMap(*(tuple(knots) for knots in entry["map"]))
        self._objective = str(manifest["objective"])
        self._policy: Policy = manifest["unfamiliar"]["policy"]
        arrays = artifact.arrays("reference.safetensors", {"reference": (None, None)})
        self._familiarity = Familiarity(arrays["reference"], manifest["unfamiliar"]["quantiles"])
        low, high = entry["reachable"]
        self.reachable: tuple[float, float] = (float(low), float(high))

    def score(self, conversation: Conversation) -> Score:
        """Return the score of OpenAI messages or a raw prompt."""
        return self.score_batch([conversation])[0]

    def score_batch(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Return the scores in order; each equals what ``score`` gives alone."""
        if not conversations:
            return []
        return self.score_texts([flatten(c) for c in conversations])

    def score_texts(self, texts: Sequence[str]) -> list[Score]:
        """Return the scores of texts that ``flatten`` already made."""
        vectors = np.stack([self.embedding.embed(t) for t in texts])
        small, large = self.probabilities(texts, vectors)
        gain = large - small
        familiar = self._familiarity(vectors)
        complexity = apply_policy(self._map.apply(gain), familiar, self._policy)
        columns = zip(complexity, small, large, gain, familiar, strict=True)
        rows = [tuple(map(float, column)) for column in columns]
        return [
            self._score(*row) if t else self._blank() for t, row in zip(texts, rows, strict=True)
        ]

    def probabilities(
        self, texts: Sequence[str], vectors: NDArray[np.float32]
    ) -> tuple[Floats, Floats]:
        """Return calibrated P(small right) and P(large right) of each text."""
        logits = self.rung.logits(texts, vectors).astype(np.float64)
        small = self._heads[0].apply(logits[:, 0])
        if self._objective == "fail":
            return small, np.ones_like(small)
        return small, self._heads[1].apply(logits[:, 1])

    def check_threshold(self, threshold: float) -> None:
        """Raise ``ArtifactError`` for a threshold that no traffic could reach or all would pass."""
        low, high = self.reachable
        if not low < threshold <= high:
            raise ArtifactError(
                f"threshold {threshold} lies outside the reachable scores "
                f"{low:.3f} to {high:.3f} of artefact {self.artifact_id}; "
                f"use {THRESHOLD} and set the budget with `smallfirst classifier calibrate`"
            )

    def _score(self, *values: float) -> Score:
        complexity, small, large, gain, familiar = values
        return Score(complexity, small, large, gain, familiar, None, self.artifact_id)

    def _blank(self) -> Score:
        """Nothing was asked: nothing to gain."""
        return self._score(0.0, 1.0, 1.0, 0.0, 0.0)


def load(path: Path | None = None) -> Classifier:
    """Return the classifier in the folder ``path``, or the shipped default.

    Raises ``ArtifactError`` with one line if the folder is damaged, foreign or too new.
    """
    artifact = open_artifact(SHIPPED if path is None else Path(path))
    try:
        return Classifier(artifact)
    except (KeyError, TypeError, IndexError, AttributeError) as fault:
        raise ArtifactError(f"{artifact.folder}: incomplete manifest ({fault!r})") from None


def static_embedding(artifact: Artifact) -> StaticEmbedding:
    """Return the artefact's static sentence embedding."""
    arrays = artifact.arrays("static.safetensors", {"table": (None, None), "scale": (None,)})
    return StaticEmbedding(vocabulary(artifact), arrays["table"], arrays["scale"])


def vocabulary(artifact: Artifact) -> Mapping[str, int]:
    """Return the word pieces and their rows, from the artefact's own tokeniser file."""
    tokenizer: Mapping[str, Any] = json.loads(artifact.read("tokenizer.json"))
    vocab: Mapping[str, int] = tokenizer["model"]["vocab"]
    return vocab


def _rung(artifact: Artifact, dimensions: int) -> tuple[str, Rung]:
    """Return the artefact's chosen rung, or its lexical one where onnxruntime is missing."""
    name = str(artifact.manifest["serving"])
    onnx = importlib.util.find_spec("onnxruntime") is not None
    if name == "neural" and onnx:
        return name, Neural(artifact.read("encoder.onnx"), artifact.read("tokenizer.json"))
    if name == "neighbours" and onnx:
        encode = Encoding(artifact.read("frozen.onnx"), artifact.read("tokenizer.json"))
        shapes = {"vectors": (None, None), "labels": (None, 2)}
        return name, Neighbours(encode, artifact.arrays("neighbours.safetensors", shapes))
    arrays = artifact.arrays("lexical.safetensors", Lexical.shapes(dimensions))
    return "lexical", Lexical(arrays)
