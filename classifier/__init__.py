"""Scores prompts: how much would the large model gain on this one? Knows nothing of Ray or HTTP.

``load()`` gives a ``Classifier``; ``Classifier.score(conversation)`` gives a ``Score``. The modules
at the top of this folder serve, and need numpy, tokenizers, onnxruntime and safetensors alone:
``text``, then ``tokens`` or features, a rung (``lexical``, ``neural``) to two logits,
``calibration`` to probabilities and the score. They never import the folders beside them:
``data`` reads labelled rows, ``training`` makes an artefact, ``threshold`` moves its budget,
``judging`` says how good it is.
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
