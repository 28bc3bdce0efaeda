"""RouteLLM's MMLU benchmark with 1,500 labels: `python -m bench.classifier.routellm --seed N`.

Same outcomes, same decontamination, same metric (ten quantile thresholds, trapezoid) as
arXiv 2406.18665. Fair comparison: our 1,500 labels come from the test pool and are left out of
the scoring; theirs come from MMLU's validation split beside 65,000 arena pairs. This file holds
part of their 14,042 rows.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.classifier.datasets import mmlu
from classifier.artifact import SHIPPED, open_artifact
from classifier.calibration import sigmoid
from classifier.classifier import static_embedding
from classifier.data.rows import Row, labels
from classifier.judging.metrics import auroc, curve, interval
from classifier.lexical import Lexical
from classifier.neural import Neural
from classifier.text import flatten
from classifier.training import fit_lexical, fit_neural
from classifier.training.ladder import Training, fit_rungs
from classifier.training.recipe import Recipe

RESULTS = Path(__file__).parent / "results"
LABELS = 1_500
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def split(rows: Sequence[Row], seed: int, by_subject: bool) -> tuple[Indices, Indices]:
    """Return training and test rows: at random, or from disjoint halves of the subjects."""
    rng = np.random.default_rng(seed)
    if not by_subject:
        order = rng.permutation(len(rows))
        return order[:LABELS], order[LABELS:]
    subjects = sorted({str(row.group) for row in rows})
    seen = set(rng.permutation(subjects)[: len(subjects) // 2])
    inside = np.array([row.group in seen for row in rows])
    return rng.permutation(np.flatnonzero(inside))[:LABELS], np.flatnonzero(~inside)


def figures(gain: Floats, logits: Floats | None, outcome: Floats) -> dict[str, object]:
    """Return one table row: APGR with its interval, CPT50 and CPT80."""
    found = curve(gain, outcome[:, 0], outcome[:, 1])
    low, high = interval(
        lambda i: curve(gain[i], outcome[i, 0], outcome[i, 1]).apgr, len(gain), draws=200
    )
    row: dict[str, object] = {"apgr": found.apgr, "apgr_interval": [low, high]}
    row |= {"cpt50": found.cpt(0.5), "cpt80": found.cpt(0.8)}
    if logits is not None:
        row["auroc_small_fails"] = auroc(-logits[:, 0], outcome[:, 0] < 0.5)
    return row


def gain_of(logits: NDArray[np.float32]) -> Floats:
    """Return P(large right) - P(small right) of uncalibrated logits."""
    p = sigmoid(logits.astype(np.float64))
    return p[:, 1] - p[:, 0]


def run(seed: int, by_subject: bool) -> dict[str, object]:
    """Return the table of one split; the neural rung is scored as it is served, int8."""
    rows = mmlu()
    texts, outcome = [flatten(row.conversation) for row in rows], labels(rows)
    train, test = split(rows, seed, by_subject)
    shown, hidden = [texts[i] for i in train], [texts[i] for i in test]
    embedding = static_embedding(open_artifact(SHIPPED))
    vectors = np.stack([embedding.embed(t) for t in texts])
    ones = np.ones(len(train))
    arrays = fit_lexical.fit_lexical(shown, vectors[train], outcome[train], ones)
    lexical = Lexical(arrays).logits(hidden, vectors[test])
    started = time.perf_counter()
    recipe = Recipe(seed=seed)
    model = fit_neural.fit_neural((shown, outcome[train], ones), recipe)
    train_s = time.perf_counter() - started
    graph = fit_neural.quantise(fit_neural.export(model))
    tokenizer = open_artifact(SHIPPED).read("tokenizer.json")
    neural = Neural(graph, tokenizer).logits(hidden, vectors[test])
    rng = np.random.default_rng(seed)
    target = outcome[test]
    return {
        "seed": seed,
        "split": "subjects" if by_subject else "random",
        "labels": len(train),
        "tested": len(test),
        "neural_train_s": train_s,
        "rows": {
            "random": figures(rng.random(len(test)), None, target),
            "oracle": figures(
                target[:, 1] - target[:, 0] + 1e-6 * rng.random(len(test)), None, target
            ),
            "length": figures(
                np.array([float(len(rows[i].conversation)) for i in test]), None, target
            ),
            "lexical": figures(gain_of(lexical), lexical.astype(np.float64), target),
            "neural": figures(gain_of(neural), neural.astype(np.float64), target),
        },
    }


def neighbours(seed: int, by_subject: bool) -> dict[str, object]:
    """Return the same split's row of the neighbours rung, which needs no training."""
    rows = mmlu()
    outcome = labels(rows)
    train, test = split(rows, seed, by_subject)
    vectors = np.zeros((len(rows), 1), np.float32)  # static vectors, which it does not read
    training = Training(
        [flatten(rows[i].conversation) for i in train],
        vectors[train],
        outcome[train],
        np.ones(len(train)),
        open_artifact(SHIPPED).read("tokenizer.json"),
        Recipe(seed=seed),
    )
    (fitted,) = fit_rungs(training, ["neighbours"], lambda _name, _done: None)
    hidden = [flatten(rows[i].conversation) for i in test]
    logits = fitted.rung.logits(hidden, vectors[test])
    return {
        "seed": seed,
        "split": f"neighbours-{'subjects' if by_subject else 'random'}",
        "labels": len(train),
        "tested": len(test),
        "rows": {"neighbours": figures(gain_of(logits), logits.astype(np.float64), outcome[test])},
    }


def main() -> None:
    """Write ``results/routellm-mmlu-SPLIT-SEED.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by-subject", action="store_true")
    parser.add_argument("--neighbours", action="store_true", help="that rung alone")
    options = parser.parse_args()
    found = neighbours if options.neighbours else run
    result = found(options.seed, options.by_subject)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"routellm-mmlu-{result['split']}-{options.seed}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
