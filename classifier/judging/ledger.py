"""Drift from a file: a router's ledger, which holds scores and no prompts, or prompts to score."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from classifier.classifier import Classifier
from classifier.data.reading import conversation, number, records
from classifier.drift import KS_ALARM, WINDOW, DriftMonitor, kolmogorov_smirnov
from classifier.errors import DataError
from classifier.familiarity import UNFAMILIAR_BELOW
from classifier.score import THRESHOLD
from classifier.text import Conversation, flatten

log = logging.getLogger(__name__)

Report = dict[str, Any]


def watch(classifier: Classifier, path: Path, window: int = WINDOW) -> list[Report]:
    """Return a drift report per window of the file's rows, in their order.

    Rows with ``prompt`` or ``messages`` are scored, which allows the embedding test; rows with
    ``score`` (and ``familiar``, ``tier``) get the tests that need no text, and no shift figure.
    """
    rows = _rows(path)
    monitor = classifier.monitor(window)
    if monitor is None:
        raise DataError(
            f"artefact {classifier.artifact_id} records no traffic; run "
            "`smallfirst classifier calibrate --traffic FILE --out DIR` first"
        )
    if len(rows) < window:
        raise DataError(f"{path}: {len(rows)} rows; at least one window of {window} is needed")
    if "conversation" in rows[0]:
        return _scored(classifier, monitor, [row["conversation"] for row in rows])
    return [
        _scores_only(monitor, rows[i : i + window])
        for i in range(0, len(rows) - window + 1, window)
    ]


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows; lines that a crash or a full disk has torn are left out and counted.

    All hold a ``conversation``, or all a ``score``.
    """
    rows: list[Mapping[str, Any]] = []
    broken: list[str] = []
    for where, record in records([path], broken):
        row = _row(where, record)
        if row is None:
            continue
        if rows and ("conversation" in row) != ("conversation" in rows[0]):
            raise DataError(f"{where}: texts and scores alone in one file; give a file of each")
        rows.append(row)
    if broken and not rows:
        raise DataError(f"{broken[0]}: not a JSON object")
    if broken:
        log.warning("%s: not a JSON object; %d lines left out", broken[0], len(broken))
    return rows


def _row(where: str, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is judged of a row; None for a request that nobody scored."""
    if any(record.get(key) is not None for key in ("prompt", "messages")):
        return {"conversation": conversation(where, record)}
    if "score" not in record:
        raise DataError(f"{where}: no `score`, `prompt` or `messages`")
    if record["score"] is None:
        return None
    figures = [key for key in ("score", "familiar") if record.get(key) is not None]
    return {**record, **{key: number(where, record, key) for key in figures}}


def _scored(
    classifier: Classifier, monitor: DriftMonitor, conversations: Sequence[Conversation]
) -> list[Report]:
    texts = [flatten(each) for each in conversations]
    vectors = classifier.vectors(texts)
    scores = classifier.score_texts(texts, vectors)
    complexity = np.array([s.complexity for s in scores])
    familiar = np.array([s.familiar for s in scores])
    return [asdict(r) for r in monitor.windows(vectors, complexity, familiar, THRESHOLD)]


def _scores_only(monitor: DriftMonitor, rows: Sequence[Mapping[str, Any]]) -> Report:
    scores = np.array([row["score"] for row in rows])
    familiar = [row["familiar"] for row in rows if row.get("familiar") is not None]
    tiers = [row["tier"] for row in rows if row.get("tier")]
    statistic, p = kolmogorov_smirnov(np.sort(scores), monitor.scores)
    escalated = [t == "large" for t in tiers] if tiers else list(scores >= THRESHOLD)
    return {
        "prompts": len(rows),
        "shift": None,
        "shift_p": None,
        "ks": statistic,
        "ks_p": p,
        "unfamiliar_rate": float(np.mean(np.array(familiar) < UNFAMILIAR_BELOW))
        if familiar
        else None,
        "escalation_rate": float(np.mean(escalated)),
        "alarm": p <= KS_ALARM,
    }
