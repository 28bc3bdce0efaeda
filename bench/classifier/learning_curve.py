"""AUROC "the 8B model fails" by number of labels: `python -m bench.classifier.learning_curve`.

1,200 held-out LLMRouter prompts; the same draws for every rung. The frozen encoder runs once over
all prompts, so that neighbours cost nothing more.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.classifier.llmrouter import Data
from bench.classifier.results import save
from classifier.artifact import Arrays
from classifier.encoding import Encoding
from classifier.judging.metrics import auroc
from classifier.neural import Neighbours

SIZES = (100, 200, 500, 1_000, 3_600)
_HELD_OUT = 1_200

Indices = NDArray[np.int64]


class Frozen:
    """Neighbours on the frozen encoder, over vectors that were made once."""

    def __init__(self, data: Data) -> None:
        from classifier.training.fit_neural import export, quantise
        from classifier.training.minilm import load_minilm

        encode = Encoding(quantise(export(load_minilm())), data.base.read("tokenizer.json"))
        self._data, self._vectors = data, encode(data.texts)

    def fail_scores(self, train: Indices, test: Indices) -> NDArray[np.float64]:
        """Return the score that the small model fails, higher is likelier."""
        arrays: Arrays = {"vectors": self._vectors[train], "labels": self._data.labels[train]}
        rung = Neighbours(lambda _texts: self._vectors[test].copy(), arrays)
        scores: NDArray[np.float64] = -rung.logits([], self._data.vectors)[:, 0].astype(np.float64)
        return scores


def main() -> None:
    """Write ``results/learning-curve-RUNG.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rung", default="lexical", choices=["lexical", "neighbours", "neural"])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    save(f"learning-curve-{options.rung}", curve(Data(), options.rung, sizes, options.draws))


def curve(data: Data, rung: str, sizes: Sequence[int], draws: int) -> dict[str, object]:
    """Return mean and spread over the draws at each size."""
    frozen = Frozen(data) if rung == "neighbours" else None
    figures: dict[str, object] = {}
    for size in sizes:
        found = []
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(data.rows))
            test, train = order[:_HELD_OUT], order[_HELD_OUT : _HELD_OUT + size]
            scores = (
                frozen.fail_scores(train, test) if frozen else data.fail_scores(train, test, rung)
            )
            found.append(auroc(scores, data.labels[test, 0] < 0.5))
        figures[str(size)] = {
            "auroc": float(np.mean(found)),
            "sd": float(np.std(found)),
            "draws": draws,
        }
        print(rung, size, figures[str(size)], flush=True)
    return figures


if __name__ == "__main__":
    main()
