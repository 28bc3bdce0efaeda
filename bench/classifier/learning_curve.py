"""AUROC "the 8B model fails" by number of labels: `python -m bench.classifier.learning_curve`.

1,500 held-out LLMRouter prompts, fewer where the labels leave fewer; the same draws for every rung.
The frozen encoder runs once over all prompts, so that neighbours cost nothing more.
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
from classifier.training.ladder import FROZEN_LAYERS, RUNGS

SIZES = (100, 200, 500, 1_000, 3_300, 4_000)
_HELD_OUT = 1_500
#: Neighbours and lexical, standardised and added.
AVERAGE = "average"

Indices = NDArray[np.int64]


class Frozen:
    """Neighbours on the frozen encoder, over vectors that were made once."""

    def __init__(self, data: Data, layers: int) -> None:
        from classifier.training.fit_neural import export, quantise
        from classifier.training.minilm import load_minilm

        graph = quantise(export(load_minilm(layers)))
        encode = Encoding(graph, data.base.read("tokenizer.json"))
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
    parser.add_argument("--rung", default="lexical", choices=[*RUNGS, AVERAGE])
    parser.add_argument("--layers", type=int, default=FROZEN_LAYERS, help="of neighbours' encoder")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    options = parser.parse_args()
    data, rung = Data(), options.rung
    frozen = Frozen(data, options.layers) if rung in ("neighbours", AVERAGE) else None
    sizes = [int(size) for size in options.sizes.split(",")]
    name = rung if options.layers == FROZEN_LAYERS else f"{rung}-{options.layers}-layers"
    save(f"learning-curve-{name}", curve(data, rung, frozen, sizes, options.draws))


def curve(
    data: Data, rung: str, frozen: Frozen | None, sizes: Sequence[int], draws: int
) -> dict[str, object]:
    """Return mean and spread over the draws at each size."""
    figures: dict[str, object] = {}
    for size in sizes:
        found = []
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(data.rows))
            test, train = order[: len(order) - size][:_HELD_OUT], order[-size:]
            scores = np.zeros(len(test))
            if frozen is not None:
                scores += standard(frozen.fail_scores(train, test))
            if rung != "neighbours":
                name = "lexical" if rung == AVERAGE else rung
                scores += standard(data.fail_scores(train, test, name))
            found.append(auroc(scores, data.labels[test, 0] < 0.5))
        figures[str(size)] = {
            "auroc": float(np.mean(found)),
            "sd": float(np.std(found)),
            "draws": draws,
        }
        print(rung, size, figures[str(size)], flush=True)
    return figures


def standard(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores with mean 0 and deviation 1, so that two rungs weigh the same."""
    moved: NDArray[np.float64] = (scores - scores.mean()) / scores.std()
    return moved


if __name__ == "__main__":
    main()
