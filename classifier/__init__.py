"""Scores prompts: how much would the large model gain on this one? Knows nothing of Ray or HTTP.

``load()`` gives a ``Classifier``; ``Classifier.score(conversation)`` gives a ``Score``. Serving
needs numpy, tokenizers, onnxruntime and safetensors; training modules import the rest lazily.
"""

from classifier.classifier import Classifier, load
from classifier.drift import DriftReport, DriftWatch
from classifier.errors import ArtifactError, ClassifierError, DataError
from classifier.score import THRESHOLD, Score
from classifier.text import flatten

__all__ = [
    "THRESHOLD",
    "ArtifactError",
    "Classifier",
    "ClassifierError",
    "DataError",
    "DriftReport",
    "DriftWatch",
    "Score",
    "flatten",
    "load",
]
