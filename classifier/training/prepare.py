"""What an operator decides, and the rows as models read them, split three ways."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import SHIPPED, Artifact, open_artifact
from classifier.calibration import Floats
from classifier.classifier import static_embedding
from classifier.data.rows import Objective, Row, labels, weights
from classifier.data.splits import LEAST_PROMPTS, duplicate_clusters, split_by_cluster
from classifier.errors import DataError
from classifier.familiarity import Policy
from classifier.judging.candidates import Outcomes
from classifier.text import Conversation, flatten
from classifier.training.ladder import RUNGS, Training
from classifier.training.recipe import Recipe

Indices = NDArray[np.int64]

#: Train, calibrate and test. Few rows give the last two more, or their intervals say nothing.
SHARES, FEW_SHARES, FEW = (0.70, 0.15, 0.15), (0.5, 0.25, 0.25), 400


@dataclass(frozen=True)
class Options:
    """What the operator decides about a training run."""

    objective: Objective = "gain"
    budget: float = 0.05
    seed: int = 0
    rungs: Sequence[str] = RUNGS
    unfamiliar: Policy = "score"
    #: Conversations whose scores set the threshold; the held-out rows where None.
    traffic: Sequence[Conversation] | None = None
    #: Rows of families left out of ``rows``: with the calibration rows they choose the rung.
    unseen: Sequence[Row] = ()
    recipe: Recipe | None = None
    base: Path = SHIPPED
    progress: Callable[[str, float], None] = field(default=lambda _name, _done: None)


@dataclass(frozen=True)
class Prepared:
    """The rows in the form that models read, and the three parts of the split.

    Weak rows lie in ``fit_on`` alone, and only where nothing that judges resembles them.
    """

    rows: list[Row]
    texts: list[str]
    vectors: NDArray[np.float32]
    labels: Floats
    weights: Floats
    fit_on: Indices
    calibrate_on: Indices
    test_on: Indices
    base: Artifact

    @property
    def held_out(self) -> Indices:
        """Return the rows that no rung was fitted on."""
        return np.concatenate([self.calibrate_on, self.test_on])

    def texts_at(self, index: Indices) -> list[str]:
        """Return the texts of some rows."""
        return [self.texts[i] for i in index]

    def outcomes(self, index: Indices, objective: Objective) -> Outcomes:
        """Return what happened on some rows; groups only where every row names one."""
        large = np.ones(len(index)) if objective == "fail" else self.labels[index, 1]
        names = [self.rows[i].group for i in index]
        groups = None if None in names else np.array([str(n) for n in names])
        return Outcomes(self.labels[index, 0], large, groups)


def prepare(rows: Sequence[Row], options: Options) -> Prepared:
    """Return the rows as texts, vectors and labels, split by clusters of duplicates."""
    base = open_artifact(options.base)
    embedding = static_embedding(base)
    texts = [flatten(row.conversation) for row in rows]
    clusters = duplicate_clusters(texts)
    count = int(clusters.max()) + 1
    if count < LEAST_PROMPTS:
        raise DataError(
            f"{count} distinct prompts, near copies counted once; "
            f"at least {LEAST_PROMPTS} are needed to judge"
        )
    shares = SHARES if count >= FEW else FEW_SHARES
    parts = split_by_cluster(clusters, shares, options.seed)
    fit_on, calibrate_on, test_on = _teach_only(parts, clusters, rows)
    vectors = np.stack([embedding.embed(t) for t in texts])
    return Prepared(
        list(rows),
        texts,
        vectors,
        labels(rows),
        weights(rows),
        fit_on,
        calibrate_on,
        test_on,
        base,
    )


def _teach_only(
    parts: Sequence[Indices], clusters: Indices, rows: Sequence[Row]
) -> tuple[Indices, Indices, Indices]:
    """Move weak rows into the first part; those that resemble a judging row are left out."""
    weak = np.array([row.weak for row in rows])
    _, calibrate_on, test_on = (part[~weak[part]] for part in parts)
    judged = np.isin(clusters, clusters[np.concatenate([calibrate_on, test_on])])
    return np.flatnonzero(~judged), calibrate_on, test_on


def training_on(data: Prepared, index: Indices, recipe: Recipe) -> Training:
    """Return some rows as rungs are fitted on them."""
    return Training(
        data.texts_at(index),
        data.vectors[index],
        data.labels[index],
        data.weights[index],
        data.base.read("tokenizer.json"),
        recipe,
    )
