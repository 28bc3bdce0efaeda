"""With few labels, every row that may help to choose a rung: each is judged by fits without it."""

import numpy as np

from classifier.calibration import Floats
from classifier.data.rows import Objective
from classifier.data.splits import duplicate_clusters, split_by_cluster
from classifier.training.fit_calibration import fit_calibrator
from classifier.training.ladder import Progress, fit_rungs
from classifier.training.prepare import Indices, Prepared, training_on
from classifier.training.recipe import Recipe

_FOLDS = 5


def cross_fitted(
    data: Prepared, names: list[str], objective: Objective, recipe: Recipe, progress: Progress
) -> tuple[Indices, dict[str, Floats]]:
    """Return the measured rows that are not test rows, and each rung's predicted gain of them.

    The calibration rows alone, a quarter or less, cannot tell two rungs apart.
    """
    known = np.concatenate([data.fit_on, data.calibrate_on])
    index = known[[not data.rows[i].weak for i in known]]
    clusters = duplicate_clusters(data.texts)
    logits = {name: np.zeros((len(index), 2)) for name in names}
    # Another seed than the split's own, or whole folds would be test rows.
    for part in split_by_cluster(clusters, [1 / _FOLDS] * _FOLDS, recipe.seed + 1):
        here = np.isin(index, part)
        if not here.any():
            continue
        seen, judged = known[~np.isin(known, part)], index[here]
        for fitted in fit_rungs(training_on(data, seen, recipe), names, progress):
            vectors = data.vectors[judged]
            logits[fitted.name][here] = fitted.rung.logits(data.texts_at(judged), vectors)
    return index, {name: _gain(data, index, found, objective) for name, found in logits.items()}


def _gain(data: Prepared, index: Indices, logits: Floats, objective: Objective) -> Floats:
    small, large = (
        fit_calibrator(logits[:, h], data.labels[index, h], data.weights[index]).apply(logits[:, h])
        for h in (0, 1)
    )
    gain: Floats = (1.0 if objective == "fail" else large) - small
    return gain
