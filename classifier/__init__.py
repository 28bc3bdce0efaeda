"""Scores prompts: how much would the large model gain on this one? Knows nothing of Ray or HTTP.

``load()`` gives a ``Classifier``; ``Classifier.score(conversation)`` gives a ``Score``. Serving
needs numpy, tokenizers, onnxruntime and safetensors; training modules import the rest lazily.
"""

from classifier.classifier import Classifier, load
from classifier.errors import ArtifactError, ClassifierError, DataError
from classifier.score import THRESHOLD, Score

__all__ = [
    "THRESHOLD",
    "ArtifactError",
    "Classifier",
    "ClassifierError",
    "DataError",
    "Score",
    "load",
]
