"""Scores of the questions by a classifier that was trained on the same outcomes, as an operator
would train it: each row's by one that never saw it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from answer_check.rows import Row
from answer_check.training import folds_of
from classifier import load
from classifier.data import rows as labelled
from classifier.training.packaging import write
from classifier.training.prepare import Options
from classifier.training.run import train

# The rung that learns from a few hundred rows in seconds; choosing among all takes minutes a fold.
RUNGS = ("lexical",)
# The splits that judge the answer check have seeds of their own.
SEED = 100


def with_own_gain(rows: Sequence[Row], by_group: bool) -> list[Row]:
    """The rows with such scores, whole groups left out together where `by_group`."""
    which = np.array(folds_of(rows, by_group, SEED))
    scored: list[Row] = list(rows)
    for fold in track(np.unique(which), description="classifiers"):
        outcomes = [
            labelled.Row(row.question, row.small, row.large, row.group)
            for row, other in zip(rows, which, strict=True)
            if other != fold
        ]
        with tempfile.TemporaryDirectory() as folder:
            # The large model is right on all: what is left to learn is where the small one fails.
            write(train(outcomes, Options(objective="fail", rungs=RUNGS)), Path(folder), {})
            classifier = load(Path(folder))
            for at in np.flatnonzero(which == fold):
                score = classifier.score(rows[at].question)
                scored[at] = replace(rows[at], gain=score.gain, p_small=score.p_small)
    return scored
