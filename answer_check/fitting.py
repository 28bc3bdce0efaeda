"""Logistic regression and calibration in a page: a few hundred rows, a dozen numbers each."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Weight decay that keeps a dozen features of some hundred rows from being learnt by heart.
DECAY = 1.0
STEPS = 50
LOGIT_LIMIT = 30.0


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), finite for any finite x."""
    return 1.0 / (1.0 + np.exp(-np.clip(x, -LOGIT_LIMIT, LOGIT_LIMIT)))


def logistic(x: Floats, y: Floats, decay: float = DECAY) -> Floats:
    """Weights, the last one for the constant, that maximise the penalised likelihood (Newton)."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([decay] * x.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - y) + penalty @ weights
        curvature = (design * (p * (1 - p) + 1e-9)[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < 1e-8:
            break
    return weights


def beta_calibration(logits: Floats, y: Floats) -> tuple[float, float, float]:
    """Slopes for both tails and an offset (Kull et al., AISTATS 2017); never decreasing."""
    low, high = tails(logits)
    a, b, c = logistic(np.column_stack([low, high]), y, decay=1e-3)
    if a < 0 or b < 0:  # the tails contradict the whole: Platt's one slope
        slope, c = logistic(logits[:, None], y, decay=1e-3)
        a = b = max(float(slope), 0.0)
    return float(a), float(b), float(c)


def tails(logits: Floats) -> tuple[Floats, Floats]:
    """`log p` and `-log(1 - p)`: their sum is the logit."""
    return -np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)


def auroc(scores: Floats, y: Floats) -> float:
    """The probability that a row of 1 scores above a row of 0, ties half; NaN without both."""
    positive = y > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not (n_positive and n_negative):
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * n_negative))


def calibration_error(p: Floats, y: Floats, bins: int = 10) -> float:
    """ECE: mean distance between what was said and what came, over bins of equal count."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(s) * abs(p[s].mean() - y[s].mean()) for s in parts) / len(p))
