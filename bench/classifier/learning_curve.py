"""AUROC "the 8B model fails" by number of labels: `python -m bench.classifier.learning_curve`.

1,200 held-out LLMRouter prompts, three draws of each size; neighbours on the frozen encoder and
the lexical rung.
"""

import argparse

import numpy as np

from bench.classifier.llmrouter import Data
from bench.classifier.results import save
from classifier.metrics import auroc

SIZES = (100, 200, 500, 1_000, 3_500)
_HELD_OUT, _DRAWS = 1_200, 3


def main() -> None:
    """Write ``results/learning-curve-RUNG.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rung", default="lexical", choices=["lexical", "neighbours", "neural"])
    parser.add_argument("--draws", type=int, default=_DRAWS)
    options = parser.parse_args()
    data = Data()
    figures = {}
    for size in SIZES:
        found = []
        for draw in range(options.draws):
            order = np.random.default_rng(draw).permutation(len(data.rows))
            test, train = order[:_HELD_OUT], order[_HELD_OUT : _HELD_OUT + size]
            scores = data.fail_scores(train, test, options.rung)
            found.append(auroc(scores, data.labels[test, 0] < 0.5))
        figures[str(size)] = {"auroc": float(np.mean(found)), "sd": float(np.std(found))}
    save(f"learning-curve-{options.rung}", figures)


if __name__ == "__main__":
    main()
