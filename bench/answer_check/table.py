"""How well N tokens of an answer tell that it is wrong: `python -m bench.answer_check.table`.

Rows: `answers.jsonl` beside this file, or the file that is named: what `smallfirst answer-check
collect` wrote of `bench.answer_check.tasks`. A large model is taken to be right on every task: they
are easy for one. And, where the data set is there, RouteLLM's
GSM8K, both models measured, of whose answers it holds the length alone. Every figure is of rows
that the head was not fitted on: folds at random, or whole task families held out. Writes
`results/by_tokens.md`.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from answer_check.features import Beginning, question_features
from answer_check.fitting import Floats, auroc, calibration_error
from answer_check.model import head_of
from answer_check.rows import Row
from answer_check.training import fit_head, folds_of
from bench.answer_check.answers import default_rows, gsm8k_rows
from bench.answer_check.own_classifier import with_own_gain
from deployments.commands.answer_check import with_gain
from deployments.gateway.judge import HOLD_TOKENS

ANSWERS = Path(__file__).with_name("answers.jsonl")
RESULTS = Path(__file__).with_name("results") / "by_tokens.md"
TOKENS: tuple[int | None, ...] = (1, 4, 8, 16, 32, 64, None)
TIERS = ("small", "large")
WAYS = ("question", "answer", "both")
BUDGETS = (0.05, 0.1, 0.2)
SEEDS = range(5)
BOOTSTRAPS = 400
# Rows of either kind, of which an AUROC inside a family says something.
LEAST_INSIDE = 8
# Columns of a head's features that are the question's: the last ones.
QUESTION = len(question_features(Beginning("")))


@dataclass(frozen=True)
class Judged:
    """Held-out probabilities of one way of judging, averaged over seeds, and the labels."""

    p: Floats
    y: Floats

    @property
    def auroc(self) -> float:
        """How well it ranks."""
        return auroc(self.p, self.y)


def judged(rows: Sequence[Row], tokens: int | None, use: str, by_group: bool) -> Judged:
    """Held-out judgement by the `question`, the `answer`, or `both`."""
    found = [head_of(row.beginning(tokens))[1] for row in rows]
    x, y = np.array(found, np.float64), np.array([row.label for row in rows])
    if use == "question":
        x = x[:, -QUESTION:]
    elif use == "answer":
        x = x[:, :-QUESTION]
    runs = [fit_head(x, y, folds_of(rows, by_group, seed)).held_out for seed in SEEDS]
    return Judged(np.mean(runs, axis=0), y)


def between(rows: int, figure: Callable[[NDArray[np.intp]], float]) -> tuple[float, float]:
    """A figure's 95% interval: `BOOTSTRAPS` draws of as many rows."""
    rng = np.random.default_rng(0)
    draws = [figure(rng.integers(0, rows, rows)) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def lead(one: Judged, other: Judged) -> str:
    """How much better the one ranks than the other, with its interval (the same rows drawn)."""

    def by(chosen: NDArray[np.intp]) -> float:
        y = one.y[chosen]
        return auroc(one.p[chosen], y) - auroc(other.p[chosen], y)

    low, high = between(len(one.y), by)
    return f"{one.auroc - other.auroc:+.3f} ({low:+.3f} to {high:+.3f})"


def accuracy(rows: Sequence[Row], one: Judged, budget: float, chosen: NDArray[np.intp]) -> float:
    """Accuracy on some rows with the surest `budget` of them sent large."""
    small, large = (np.array([getattr(row, tier) for row in rows])[chosen] for tier in TIERS)
    sent = np.argsort(-one.p[chosen], kind="stable")[: round(budget * len(chosen))]
    small[sent] = large[sent]
    return float(small.mean())


def perfect_error(one: Judged) -> float:
    """The calibration error that a perfect model would show on as many rows: 100 drawn outcomes."""
    rng = np.random.default_rng(0)
    drawn = [(rng.random(len(one.p)) < one.p).astype(np.float64) for _ in range(100)]
    return float(np.mean([calibration_error(one.p, y) for y in drawn]))


def by_tokens(rows: Sequence[Row], by_group: bool) -> list[str]:
    """The table of AUROC by N, and what its bars ask."""
    question = judged(rows, 1, "question", by_group)
    lines = [
        "| tokens seen | answers ended by then | question | answer | both | ECE of both (a perfect "
        "model's) |",
        "|---|---|---|---|---|---|",
    ]
    seen: dict[int | None, dict[str, Judged]] = {}
    for tokens in TOKENS:
        found = seen[tokens] = {
            use: judged(rows, tokens, use, by_group) for use in ("answer", "both")
        }
        ended = np.mean([row.beginning(tokens).whole for row in rows])
        both = found["both"]
        lines.append(
            f"| {tokens or 'all'} | {ended:.0%} | {question.auroc:.3f} | "
            f"{found['answer'].auroc:.3f} | {both.auroc:.3f} | "
            f"{calibration_error(both.p, both.y):.3f} ({perfect_error(both):.3f}) |"
        )
    both, answer = seen[HOLD_TOKENS]["both"], seen[HOLD_TOKENS]["answer"]
    return [
        *lines,
        "",
        f"At {HOLD_TOKENS} tokens, AUROC of both less that of the answer alone: "
        f"{lead(both, answer)}; less that of the question alone: {lead(both, question)}; less that "
        f"of both on whole answers: {lead(both, seen[None]['both'])} (95%, paired bootstrap).",
    ]


def by_budget(rows: Sequence[Row], tokens: int | None) -> list[str]:
    """The table of accuracy at a share escalated, split at random."""
    lines = [
        "| escalated | question | answer | both | at random | the best there is |",
        "|---|---|---|---|---|---|",
    ]
    ways = [judged(rows, tokens, use, False) for use in WAYS]
    small, large = (float(np.mean([getattr(row, tier) for row in rows])) for tier in TIERS)
    gain = np.sort([row.large - row.small for row in rows])[::-1]
    for budget in BUDGETS:
        cells = []
        for one in ways:
            at = partial(accuracy, rows, one, budget)
            low, high = between(len(rows), at)
            cells.append(f"{at(np.arange(len(rows))):.1%} ({low:.1%} to {high:.1%})")
        by_chance = small + budget * (large - small)
        best = small + gain[: round(budget * len(rows))].sum() / len(rows)
        lines.append(f"| {budget:.0%} | {' | '.join(cells)} | {by_chance:.1%} | {best:.1%} |")
    return lines


def by_family(rows: Sequence[Row]) -> list[str]:
    """What each family is made of, and how both rank inside it."""
    both = judged(rows, HOLD_TOKENS, "both", False)
    groups = np.array([row.group for row in rows])
    lines = ["| family | tasks | small is right | AUROC of both inside it |", "|---|---|---|---|"]
    for group in np.unique(groups):
        inside = groups == group
        y = both.y[inside]
        within = auroc(both.p[inside], y)
        least = min(y.sum(), (1 - y).sum())
        told = f"{within:.2f}" if least >= LEAST_INSIDE else "too few of one kind"
        lines.append(f"| {group} | {inside.sum()} | {1 - y.mean():.0%} | {told} |")
    return lines


def setting(rows: Sequence[Row]) -> list[str]:
    """What was asked of what, and how it is judged."""
    wrong = sum(row.label for row in rows)
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, 2 cores of an AMD EPYC, no GPU; the first 851 answers were",
        "made on AVX2, the others with AVX-512, where vLLM's own INT4 kernel runs.",
        "SmolLM2-135M-Instruct W4A16 on vLLM's CPU build, temperature 0, at most 96 tokens;",
        f"{len(rows)} tasks of {len({row.group for row in rows})} families, {wrong:.0f} answered",
        "wrong. Label: the small model is wrong; a large one is taken to be right, for these tasks",
        "are easy. AUROC and calibration on rows that the head was not fitted on, probabilities",
        f"averaged over {len(SEEDS)} splits into five.",
        "",
    ]


def of_default(rows: Sequence[Row]) -> list[str]:
    """The page's part on the default small model."""
    own = with_own_gain(rows, by_group=False)
    return [
        *setting(rows),
        "## Split at random, questions scored by the classifier in the package",
        "",
        *by_tokens(rows, by_group=False),
        "",
        "## Split at random, questions scored by a classifier trained on these outcomes",
        "",
        "`smallfirst classifier train --objective fail --rungs lexical` on four fifths of the rows",
        "scores the fifth.",
        "",
        *by_tokens(own, by_group=False),
        "",
        "## Whole task families held out, questions scored by the classifier in the package",
        "",
        *by_tokens(rows, by_group=True),
        "",
        "## Whole task families held out, from the training of that classifier too",
        "",
        *by_tokens(with_own_gain(rows, by_group=True), by_group=True),
        "",
        f"## Accuracy by the share escalated, {HOLD_TOKENS} tokens seen (95%, bootstrap)",
        "",
        "Questions scored by the classifier trained on these outcomes.",
        "",
        *by_budget(own, HOLD_TOKENS),
        "",
        f"## Family by family, {HOLD_TOKENS} tokens seen, split at random",
        "",
        *by_family(rows),
    ]


def of_gsm8k(rows: Sequence[Row]) -> list[str]:
    """The page's part on RouteLLM's GSM8K."""
    found = {use: judged(rows, None, use, False) for use in WAYS}
    return [
        f"## RouteLLM's GSM8K ({len(rows)} rows, Mixtral against GPT-4), split at random",
        "",
        "Our copy of the data holds the length of the answers alone, so that the answer is one",
        "number here, and no token of it has a probability. AUROC: "
        + ", ".join(f"{use} {one.auroc:.3f}" for use, one in found.items())
        + f"; both less question {lead(found['both'], found['question'])}, less answer "
        + f"{lead(found['both'], found['answer'])}.",
        "",
        *by_budget(rows, None),
    ]


def main() -> None:
    """Write the page."""
    answers = Path(sys.argv[1]) if sys.argv[1:] else ANSWERS
    text = [
        "# How many tokens tell that an answer is wrong",
        "",
        "`python -m bench.answer_check.table`",
        "",
        *of_default(with_gain(default_rows(answers))[0]),
    ]
    if gsm := gsm8k_rows():
        text += ["", *of_gsm8k(with_gain(gsm)[0])]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
