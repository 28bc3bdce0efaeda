"""Fits a head's calibrator on rows it was not trained on."""

import numpy as np
from scipy.optimize import minimize

from classifier.calibration import Calibrator, Floats, sigmoid, tails

#: Rows from which the two tails get slopes of their own; below, Platt's one slope is safer.
BETA_ROWS = 1_000


def fit_calibrator(logits: Floats, labels: Floats, weights: Floats) -> Calibrator:
    """Return Platt's scaling of few rows, beta calibration of many.

    Weighted logistic regression on the tails of the logit, labels smoothed as Platt (1999) does.
    Isotonic steps were no better on the default's rows (docs/model-card-classifier.md), and tie
    scores.
    """
    known = ~np.isnan(labels) & (weights > 0)  # the mean over no weight at all is no number
    if not known.any():
        return Calibrator(1.0, 0.0, 1.0)
    logits, labels, weights = logits[known], labels[known], weights[known]
    ones, zeros = float(weights @ labels), float(weights @ (1.0 - labels))
    target = labels * (ones + 1) / (ones + 2) + (1.0 - labels) / (zeros + 2)
    low, high = tails(logits)
    beta = len(logits) >= BETA_ROWS

    def loss(free: Floats) -> float:
        slope, offset = free[0], free[1]
        above = free[2] if beta else slope
        p = np.clip(sigmoid(slope * low + above * high + offset), 1e-9, 1 - 1e-9)
        nll = -weights @ (target * np.log(p) + (1.0 - target) * np.log(1.0 - p)) / weights.sum()
        return float(nll + 1e-4 * ((slope - 1.0) ** 2 + (above - 1.0) ** 2))

    start, bounds = [1.0, 0.0, 1.0], [(0.02, 20), (-20, 20), (0.02, 20)]
    count = 3 if beta else 2
    best = minimize(loss, np.array(start[:count]), method="L-BFGS-B", bounds=bounds[:count]).x
    slope, offset, *above = map(float, best)
    return Calibrator(slope, offset, above[0] if above else slope)
