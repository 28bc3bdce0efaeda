"""One table for every way of choosing a tier: ours, and what a user would pick instead."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import Floats
from classifier.judging.metrics import (
    accuracy_at,
    area,
    auroc,
    curve,
    ece,
    ece_noise,
    interval,
    within_group_auroc,
)
from classifier.surface import BOUNDED, CODE, REASONING

Texts = Sequence[str]
#: A figure as a function of the rows drawn.
Measure = Callable[[NDArray[np.int64]], float]

_ASK = re.compile(r"\b(why|how|explain|describe|discuss)\b")


@dataclass(frozen=True)
class Outcomes:
    """What happened on the judged rows. ``large`` is 1 where the objective is ``fail``."""

    small: Floats
    large: Floats
    groups: NDArray[np.str_] | None

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.small)

    def take(self, index: NDArray[np.int64]) -> "Outcomes":
        """Return the rows at ``index``."""
        groups = None if self.groups is None else self.groups[index]
        return Outcomes(self.small[index], self.large[index], groups)


@dataclass(frozen=True)
class Candidate:
    """A way of ranking prompts for the large tier; higher goes first."""

    name: str
    gain: Floats
    p_small: Floats | None = None
    ms_p50: float | None = None
    ms_p99: float | None = None


def baselines(
    test: tuple[Texts, Outcomes], train: tuple[Texts, Outcomes], seed: int
) -> list[Candidate]:
    """Return random, constant, length, keyword and, where groups are given, group mean.

    The length rule and the group mean learn their sign and means from the training rows alone.
    """
    (texts, judged), (seen, known) = test, train
    gain = known.large - known.small
    sign = np.sign(np.cov(_lengths(seen), gain)[0, 1]) or 1.0
    found = [
        Candidate("random", np.random.default_rng(seed).random(len(texts))),
        Candidate("constant", np.zeros(len(texts))),
        Candidate("length", _lengths(texts) * sign),
        Candidate("keywords", np.array([keyword_score(t) for t in texts])),
    ]
    if known.groups is not None and judged.groups is not None:
        means = {g: float(gain[known.groups == g].mean()) for g in np.unique(known.groups)}
        middle = float(gain.mean())
        found.append(
            Candidate("group mean", np.array([means.get(g, middle) for g in judged.groups]))
        )
    return found


def _lengths(texts: Texts) -> Floats:
    return np.log1p(np.array([len(t) for t in texts], np.float64))


def keyword_score(text: str) -> float:
    """Score as the rule-based routers do: reasoning words and code up, bounded words down."""
    lower = text.lower()
    hits = len(REASONING.findall(lower)) + len(CODE.findall(text)) + 0.5 * len(_ASK.findall(lower))
    return hits - len(BOUNDED.findall(lower)) + min(len(text), 2_000) / 1_000.0


def oracle(outcomes: Outcomes) -> Candidate:
    """Return the ranking of someone who knows the outcome."""
    return Candidate("oracle", outcomes.large - outcomes.small)


def judge(candidate: Candidate, outcomes: Outcomes, draws: int = 200) -> dict[str, object]:
    """Return the table row of one candidate, each figure with its bootstrap 95% interval."""
    measures = _measures(candidate, outcomes)
    everything = np.arange(outcomes.rows)
    row: dict[str, object] = {"name": candidate.name, "n": outcomes.rows}
    for name, measure in measures.items():
        row[name] = _finite(measure(everything))
        low, high = interval(measure, outcomes.rows, draws)
        row[f"{name}_interval"] = [_finite(low), _finite(high)]
    for absent in ("auroc_small_fails", "ece"):  # a ranking without a probability has none
        row.setdefault(absent)
    row["ece_noise"] = None if candidate.p_small is None else ece_noise(candidate.p_small)
    row["ms_p50"], row["ms_p99"] = candidate.ms_p50, candidate.ms_p99
    return row


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _measures(candidate: Candidate, outcomes: Outcomes) -> Mapping[str, Measure]:
    gain, small, large = candidate.gain, outcomes.small, outcomes.large
    helped, failed = large - small > 0, small < 0.5
    found: dict[str, Measure] = {
        "apgr": lambda i: curve(gain[i], small[i], large[i]).apgr,
        "cpt50": lambda i: curve(gain[i], small[i], large[i]).cpt(0.5),
        "cpt80": lambda i: curve(gain[i], small[i], large[i]).cpt(0.8),
        "acc_at_5": lambda i: accuracy_at(gain[i], small[i], large[i], 0.05),
        "acc_at_10": lambda i: accuracy_at(gain[i], small[i], large[i], 0.10),
        "acc_at_20": lambda i: accuracy_at(gain[i], small[i], large[i], 0.20),
        "auroc_gain": lambda i: auroc(gain[i], helped[i]),
    }
    p_small, groups = candidate.p_small, outcomes.groups
    if groups is not None:
        found["auroc_gain_within_group"] = lambda i: within_group_auroc(
            gain[i], helped[i], groups[i]
        )
    if p_small is not None:
        found["auroc_small_fails"] = lambda i: auroc(-p_small[i], failed[i])
        found["ece"] = lambda i: ece(p_small[i], small[i])
    return found


def advantage(ours: Candidate, other: Candidate, outcomes: Outcomes) -> tuple[float, float]:
    """Return the paired bootstrap 95% interval of our recovered quality less the other's.

    Quality is the mean over all budgets, in points of accuracy, so a data set whose tiers are
    equally good (where APGR divides by zero) still compares.
    """

    def gap(i: NDArray[np.int64]) -> float:
        small, large = outcomes.small[i], outcomes.large[i]
        return area(ours.gain[i], small, large) - area(other.gain[i], small, large)

    return interval(gap, outcomes.rows, draws=400)
