"""The shipped default on its own test rows, measured outcomes only: `... .in_domain`.

The split is made again from the same seed; weak labels lie in no part that judges. Calibration is
judged twice: the shipped calibrators on the test rows, and the way of fitting them, two-fold over
the calibration and the test rows, where twice the rows leave less noise in the estimate.
"""

import numpy as np

from bench.classifier.results import save
from bench.classifier.train_default import divide
from classifier import load
from classifier.calibration import Floats
from classifier.classifier import Classifier
from classifier.judging.evaluate import evaluate
from classifier.judging.metrics import ece, ece_noise, interval
from classifier.training.fit_calibration import fit_calibrator
from classifier.training.run import Indices, Options, Prepared, prepare

HEADS = ("small", "large")
BINS = 15


def error(probability: Floats, outcome: Floats) -> dict[str, object]:
    """Return the calibration error over equally filled bins, its interval, and its noise."""
    return {
        "n": len(outcome),
        "bins": BINS,
        "ece": ece(probability, outcome, BINS),
        "ece_interval": interval(
            lambda i: ece(probability[i], outcome[i], BINS), len(outcome), draws=200
        ),
        "ece_of_a_perfect_model": ece_noise(probability, BINS),
        "mean_probability_less_mean_outcome": float((probability - outcome).mean()),
    }


def calibration(classifier: Classifier, data: Prepared) -> dict[str, object]:
    """Return both heads' errors: shipped on the test rows, and cross-fitted on all held-out."""
    held = np.concatenate([data.calibrate_on, data.test_on])
    logits = classifier.headed.rung.logits(data.texts_at(held), data.vectors[held])
    tested = np.isin(held, data.test_on)
    found: dict[str, object] = {}
    for head, name in enumerate(HEADS):
        column = logits[:, head].astype(np.float64)
        outcome = data.labels[held, head]
        shipped = classifier.headed.heads[head].apply(column[tested])
        found[name] = {
            "shipped": error(shipped, outcome[tested]),
            "cross_fitted": error(cross_fitted(column, outcome), outcome),
        }
    return found


def cross_fitted(logits: Floats, outcome: Floats) -> Floats:
    """Return probabilities in which each half was calibrated on the other."""
    half = np.random.default_rng(0).permutation(len(logits)) % 2
    probability = np.empty(len(logits))
    for part in (0, 1):
        there: Indices = np.flatnonzero(half != part)
        fitted = fit_calibrator(logits[there], outcome[there], np.ones(len(there)))
        probability[half == part] = fitted.apply(logits[half == part])
    return probability


def main() -> None:
    """Write ``results/in-domain.json``."""
    rows, _ = divide(0)
    data = prepare(rows, Options(seed=0))
    classifier = load()
    judged = [data.rows[i] for i in data.test_on]
    save(
        "in-domain",
        {
            "artifact_id": classifier.artifact_id,
            "n": len(judged),
            "calibration": calibration(classifier, data),
            "table": evaluate(classifier, judged),
        },
    )


if __name__ == "__main__":
    main()
