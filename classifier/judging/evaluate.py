"""How a classifier does on labelled rows, beside what a user would pick instead."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from classifier.classifier import Classifier
from classifier.data.rows import Row, labels
from classifier.judging.candidates import Candidate, Outcomes, baselines, judge, oracle
from classifier.text import flatten

#: Prompts timed one by one, wall clock, tokeniser and features included.
_TIMED = 300


def evaluate(classifier: Classifier, rows: Sequence[Row], seed: int = 0) -> list[dict[str, object]]:
    """Return the table, ours first.

    The length rule's sign and the group means are fitted on the judged rows themselves, which
    favours those two against us.
    """
    outcome = labels(rows)
    large = np.where(np.isnan(outcome[:, 1]), 1.0, outcome[:, 1])
    names = [row.group for row in rows]
    groups = None if None in names else np.array([str(n) for n in names])
    judged = Outcomes(outcome[:, 0], large, groups)
    texts = [flatten(row.conversation) for row in rows]
    small, right = classifier.headed.probabilities(texts, classifier.vectors(texts))
    p50, p99 = latency_ms(classifier, [row.conversation for row in rows[:_TIMED]])
    ours = Candidate(f"smallfirst {classifier.rung_name}", right - small, small, p50, p99)
    others = baselines((texts, judged), (texts, judged), seed)
    return [judge(c, judged) for c in (ours, *others, oracle(judged))]


def latency_ms(classifier: Classifier, conversations: Sequence[Any]) -> tuple[float, float]:
    """Return the median and the 99th percentile of one ``score`` call, after a warm-up."""
    classifier.score("warm up")
    taken = []
    for conversation in conversations:
        started = time.perf_counter()
        classifier.score(conversation)
        taken.append(1_000.0 * (time.perf_counter() - started))
    return float(np.quantile(taken, 0.5)), float(np.quantile(taken, 0.99))
