"""Scores conversations with a trained artefact: the code that runs on every request."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import SHIPPED, Artifact, open_artifact
from classifier.calibration import ComplexityMap
from classifier.domains import Domains
from classifier.drift import WINDOW, DriftMonitor
from classifier.embedding import StaticEmbedding
from classifier.errors import ArtifactError, ClassifierError
from classifier.familiarity import Familiarity, Policy, apply_policy, dequantise
from classifier.headed import open_headed, serving_rung
from classifier.score import THRESHOLD, Score
from classifier.text import Conversation, flatten


class Classifier:
    """A loaded artefact. Deterministic, thread-safe, and never raises on any text."""

    def __init__(self, artifact: Artifact, domains: Mapping[str, Sequence[str]] | None) -> None:
        manifest = artifact.manifest
        self.artifact = artifact
        self.artifact_id: str = artifact.artifact_id
        self.embedding = static_embedding(artifact)
        self.rung_name = serving_rung(artifact)
        entry = manifest["rungs"][self.rung_name]
        self.headed = open_headed(artifact, self.rung_name, self.embedding.dimensions)
        self.map = ComplexityMap(*(tuple(knots) for knots in entry["map"]))
        self.policy: Policy = manifest["unfamiliar"]["policy"]
        if self.policy not in get_args(Policy):
            raise ArtifactError(f"{artifact.folder}: unknown policy {self.policy!r}; train again")
        arrays = artifact.arrays("reference.safetensors", {"reference": (None, None)})
        self.familiarity = Familiarity(arrays["reference"], manifest["unfamiliar"]["quantiles"])
        self._domains = (
            Domains.fit(domains, self.embedding, self.familiarity.reference) if domains else None
        )
        low, high = entry["reachable"]
        self.reachable: tuple[float, float] = (float(low), float(high))

    def score(self, conversation: Conversation) -> Score:
        """Return the score of OpenAI messages or a raw prompt."""
        return self.score_batch([conversation])[0]

    def score_batch(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Return the scores in order; each equals what ``score`` gives alone."""
        if not conversations:
            return []
        texts = [flatten(c) for c in conversations]
        return self.score_texts(texts, self.vectors(texts))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the static unit vectors of flattened texts."""
        return np.stack([self.embedding.embed(t) for t in texts])

    def score_texts(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> list[Score]:
        """Return the scores of texts that ``flatten`` made, with their vectors."""
        small, large = self.headed.probabilities(texts, vectors)
        gain = large - small
        familiar = self.familiarity(vectors)
        complexity = apply_policy(self.map.apply(gain), familiar, self.policy)
        columns = zip(complexity, small, large, gain, familiar, strict=True)
        rows = zip(texts, vectors, columns, strict=True)
        return [
            self._score(columns, self._domain(vector)) if text else self._blank()
            for text, vector, columns in rows
        ]

    def monitor(self, window: int = WINDOW) -> DriftMonitor | None:
        """Return the drift monitor of the traffic that set the threshold, if it was recorded."""
        found = self.artifact.arrays("reference.safetensors", {})
        if self.rung_name not in found:  # scores are kept per rung, under its name
            return None
        scores = found[self.rung_name].astype(np.float64)
        return DriftMonitor(dequantise(found["traffic"]), scores, window)

    def check_threshold(self, threshold: float) -> None:
        """Raise ``ArtifactError`` for a threshold that no traffic could reach or all would pass.

        Not at ``THRESHOLD``: the budget has put it where it is, be it above or below everything.
        """
        low, high = self.reachable
        if threshold != THRESHOLD and not low < threshold <= high:
            raise ArtifactError(
                f"threshold {threshold} lies outside the reachable scores "
                f"{low:.3f} to {high:.3f} of artefact {self.artifact_id}; "
                f"use {THRESHOLD} and set the budget with `smallfirst classifier calibrate`"
            )

    def _score(self, figures: Sequence[float], domain: str | None) -> Score:
        complexity, small, large, gain, familiar = map(float, figures)
        return Score(complexity, small, large, gain, familiar, domain, self.artifact_id)

    def _domain(self, vector: NDArray[np.float32]) -> str | None:
        return None if self._domains is None else self._domains.predict(vector)

    def _blank(self) -> Score:
        """Nothing was asked: nothing to gain."""
        return self._score((0.0, 1.0, 1.0, 0.0, 0.0), None)


def load(
    path: Path | None = None, domains: Mapping[str, Sequence[str]] | None = None
) -> Classifier:
    """Return the classifier in the folder ``path``, or the shipped default.

    ``domains`` names the domains to recognise, with a few example prompts each. Raises
    ``ArtifactError`` with one line if the folder is damaged, foreign or too new.
    """
    artifact = open_artifact(SHIPPED if path is None else Path(path))
    for name in artifact.manifest["files"]:  # also the rung that serves only elsewhere
        artifact.read(name)
    try:
        found = Classifier(artifact, domains)
        with np.errstate(all="ignore"):  # what comes of it is looked at below
            probe = found.score("probe").complexity
    except ClassifierError:
        raise
    except Exception as fault:  # onnxruntime and tokenizers raise error classes of their own
        about = f"{type(fault).__name__}: {str(fault).partition(chr(10))[0][:200]}"
        raise ArtifactError(f"{artifact.folder}: not a usable classifier ({about})") from None
    if not 0.0 <= probe <= 1.0:
        raise ArtifactError(f"{artifact.folder}: scores {probe}; train again")
    return found


def static_embedding(artifact: Artifact) -> StaticEmbedding:
    """Return the artefact's static sentence embedding."""
    arrays = artifact.arrays("static.safetensors", {"table": (None, None), "scale": (None,)})
    return StaticEmbedding(vocabulary(artifact), arrays["table"], arrays["scale"])


def vocabulary(artifact: Artifact) -> Mapping[str, int]:
    """Return the word pieces and their rows, from the artefact's own tokeniser file."""
    tokenizer: Mapping[str, Any] = json.loads(artifact.read("tokenizer.json"))
    vocab: Mapping[str, int] = tokenizer["model"]["vocab"]
    return vocab
