"""The shipped default on its own test rows, measured outcomes only: `... .in_domain`.

The split is made again from the same seed; weak labels lie in no part that judges. The shipped
calibrators were fitted on the calibration and the test rows together. The table is therefore
that of calibrators fitted without the test rows. Calibration is also judged ten-fold over all
of these rows: there the way of fitting that ships gives each row a probability it had no part in.
"""

import numpy as np
from numpy.typing import NDArray

from bench.classifier.refit_default import refitted
from bench.classifier.results import save
from bench.classifier.train_default import divide
from classifier.artifact import SHIPPED, open_artifact
from classifier.calibration import Floats
from classifier.classifier import Classifier
from classifier.judging.evaluate import evaluate
from classifier.judging.metrics import ece, ece_noise, interval
from classifier.training.fit_calibration import fit_calibrator
from classifier.training.prepare import Options, Prepared, prepare

HEADS = ("small", "large")
BINS = 15
_HALVES = 100


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
    """Return both heads' errors: on the test rows, in new halves, and over all held-out rows."""
    held = data.held_out
    logits = classifier.headed.rung.logits(data.texts_at(held), data.vectors[held])
    tested = np.isin(held, data.test_on)
    found: dict[str, object] = {}
    for head, name in enumerate(HEADS):
        column, outcome = logits[:, head].astype(np.float64), data.labels[held, head]
        found[name] = {
            "test_rows": error(fitted_elsewhere(column, outcome, tested), outcome[tested]),
            "other_halves": halves(column, outcome),
            "ten_fold": error(ten_fold(column, outcome), outcome),
        }
    return found


def fitted_elsewhere(logits: Floats, outcome: Floats, judged: NDArray[np.bool_]) -> Floats:
    """Return the probabilities of the judged rows, calibrated on the others."""
    ones = np.ones(int((~judged).sum()))
    return fit_calibrator(logits[~judged], outcome[~judged], ones).apply(logits[judged])


def halves(logits: Floats, outcome: Floats) -> dict[str, float]:
    """Return the errors when the same rows are halved again: how far chance alone goes."""
    rng, found = np.random.default_rng(0), []
    for _ in range(_HALVES):
        judged = rng.permutation(len(logits)) % 2 == 0
        found.append(ece(fitted_elsewhere(logits, outcome, judged), outcome[judged], BINS))
    low, middle, high = np.quantile(found, [0.05, 0.5, 0.95])
    return {"halvings": _HALVES, "median": middle, "lowest_5%": low, "highest_5%": high}


def ten_fold(logits: Floats, outcome: Floats) -> Floats:
    """Return probabilities in which each tenth was calibrated on the others."""
    fold = np.random.default_rng(0).permutation(len(logits)) % 10
    probability = np.empty(len(logits))
    for part in range(10):
        probability[fold == part] = fitted_elsewhere(logits, outcome, fold == part)
    return probability


def main() -> None:
    """Write ``results/in-domain.json``."""
    rows, _ = divide(0)
    data = prepare(rows, Options(seed=0))
    shipped = open_artifact(SHIPPED)
    classifier = Classifier(refitted(shipped, data, data.calibrate_on), None)
    judged = [data.rows[i] for i in data.test_on]
    save(
        "in-domain",
        {
            "artifact_id": shipped.artifact_id,
            "n": len(judged),
            "calibration": calibration(classifier, data),
            "table": evaluate(classifier, judged),
        },
    )


if __name__ == "__main__":
    main()
