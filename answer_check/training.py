"""Fits the four heads on rows, each judged on rows that it was not fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from answer_check.artifact import AnswerCheckError
from answer_check.features import Beginning
from answer_check.fitting import (
    Floats,
    auroc,
    beta_calibration,
    calibration_error,
    logistic,
    sigmoid,
    tails,
)
from answer_check.model import HEADS, AnswerModel, Head, head_of
from answer_check.rows import Row

FOLDS = 5
LEAST_ROWS = 100
LEAST_OF_A_KIND = 20


@dataclass(frozen=True)
class Fitted:
    """A head, and the probabilities that it gives rows that it was not fitted on."""

    head: Head
    held_out: Floats
    labels: Floats

    @property
    def auroc(self) -> float:
        """How well it ranks, on rows that it was not fitted on."""
        return auroc(self.held_out, self.labels)

    @property
    def calibration_error(self) -> float:
        """ECE on rows that it was not fitted on."""
        return calibration_error(self.held_out, self.labels)


def fit_head(x: Floats, y: Floats, folds: Sequence[int]) -> Fitted:
    """Fit on all, judge by cross-fitting: each fold by a head that never saw it."""
    which = np.asarray(folds)
    logits, held_out = np.zeros(len(y)), np.zeros(len(y))
    for fold in np.unique(which):
        inside = which != fold
        logits[~inside] = _logits(x[~inside], *_weights(x[inside], y[inside]))
    for fold in np.unique(which):
        inside = which != fold
        held_out[~inside] = _calibrated(
            logits[~inside], beta_calibration(logits[inside], y[inside])
        )
    mean, scale, weights = _weights(x, y)
    head = Head(
        tuple(map(float, mean)),
        tuple(map(float, scale)),
        tuple(map(float, weights[:-1])),
        float(weights[-1]),
        beta_calibration(logits, y),
    )
    return Fitted(head, held_out, y)


def features_of(
    rows: Sequence[Row], cut: Callable[[Row], Beginning], head: str
) -> tuple[Floats, Floats]:
    """The features of a head, and the labels, of rows that are cut in one way."""
    found = [_for_head(cut(row), head) for row in rows]
    return np.array(found, np.float64), np.array([row.label for row in rows])


def folds_of(rows: Sequence[Row], by_group: bool, seed: int = 0) -> list[int]:
    """A fold for each row: at random, or whole groups held out together."""
    rng = np.random.default_rng(seed)
    if not by_group:
        return [int(fold) for fold in rng.permutation(len(rows)) % FOLDS]
    groups = sorted({row.group for row in rows})
    order = rng.permutation(len(groups))
    fold = {group: int(at) % FOLDS for group, at in zip(groups, order, strict=True)}
    return [fold[row.group] for row in rows]


def train(
    rows: Sequence[Row], served_model: str, quantisation: str, hold_tokens: int, budget: float
) -> tuple[AnswerModel, dict[str, Fitted]]:
    """The model, and what each head is worth on rows that it was not fitted on.

    Raises: `AnswerCheckError` where there are too few rows of either kind.
    """
    wrong = sum(row.label > 0.5 for row in rows)
    if len(rows) < LEAST_ROWS or min(wrong, len(rows) - wrong) < LEAST_OF_A_KIND:
        raise AnswerCheckError(
            f"{len(rows)} rows, {wrong} of them wrong where the large tier is right: give at least "
            f"{LEAST_ROWS}, {LEAST_OF_A_KIND} of each kind"
        )
    folds = folds_of(rows, by_group=False)
    fitted = {}
    for name in HEADS:
        tokens = None if name.startswith("whole") else hold_tokens
        x, y = features_of(rows, lambda row, n=tokens: row.beginning(n), name)  # type: ignore[misc]  # a default binds the loop's value
        fitted[name] = fit_head(x, y, folds)
    held_out = fitted["beginning"].held_out
    model = AnswerModel(
        "",
        served_model,
        quantisation,
        hold_tokens,
        {name: one.head for name, one in fitted.items()},
        float(np.clip(np.quantile(held_out, 1 - budget), 1e-6, 1 - 1e-6)),
    )
    return model, fitted


def _for_head(begun: Beginning, head: str) -> list[float]:
    if head.endswith("_text"):
        bare = Beginning(
            begun.text, (), begun.whole, begun.finish_reason, begun.gain, begun.p_small
        )
        return head_of(bare)[1]
    if not begun.logprobs:
        raise AnswerCheckError("a row has no logprobs: collect them, or leave such rows out")
    return head_of(begun)[1]


def _weights(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(scale < 1e-9, 1.0, scale)
    return mean, scale, logistic(_centred(x, mean, scale), y)


def _centred(x: Floats, mean: Floats, scale: Floats) -> Floats:
    """Zero for what is not known (NaN), as `Head.probability` has it."""
    return np.nan_to_num((x - mean) / scale, nan=0.0)


def _logits(x: Floats, mean: Floats, scale: Floats, weights: Floats) -> Floats:
    logits: Floats = _centred(x, mean, scale) @ weights[:-1] + weights[-1]
    return logits


def _calibrated(logits: Floats, calibration: tuple[float, float, float]) -> Floats:
    low, high = tails(np.clip(logits, -30.0, 30.0))
    below, above, offset = calibration
    return sigmoid(below * low + above * high + offset)
