"""How well N tokens of an answer tell that it is wrong: `python -m bench.answer_check.table`.

Rows: `answers.jsonl` (the default small model; `bench.answer_check.collect`), where a large model
is taken to be right on every task: they are easy for one. And, where the data set is there,
RouteLLM's GSM8K, both models measured, of whose answers it holds the length alone. Every figure is
of rows that the head was not fitted on: folds at random, or whole task families held out. Writes
`results/answer_check.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from answer_check.features import Beginning, question_features
from answer_check.fitting import Floats, auroc, calibration_error
from answer_check.model import head_of
from answer_check.rows import Row, read_rows
from answer_check.training import fit_head, folds_of
from bench.answer_check.collect import ANSWERS
from bench.classifier.datasets import DATA, read
from deployments.commands.answer_check import with_gain

RESULTS = Path(__file__).with_name("results") / "answer_check.md"
TOKENS: tuple[int | None, ...] = (1, 4, 8, 16, 32, 64, None)
BUDGETS = (0.05, 0.1, 0.2)
SEEDS = range(5)
BOOTSTRAPS = 400
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


def accuracy(rows: Sequence[Row], one: Judged, budget: float) -> tuple[float, float, float]:
    """Accuracy with the surest `budget` of rows sent large, and its 95% interval (bootstrap)."""
    small = np.array([row.small for row in rows])
    large = np.array([row.large for row in rows])
    rng = np.random.default_rng(0)

    def score(chosen: NDArray[np.intp]) -> float:
        sent = np.argsort(-one.p[chosen], kind="stable")[: round(budget * len(chosen))]
        mixed = small[chosen].copy()
        mixed[sent] = large[chosen][sent]
        return float(mixed.mean())

    whole = score(np.arange(len(rows)))
    draws = [score(rng.integers(0, len(rows), len(rows))) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return whole, float(low), float(high)


def by_tokens(rows: Sequence[Row], by_group: bool) -> list[str]:
    """The table of AUROC by N."""
    question = judged(rows, 1, "question", by_group).auroc
    lines = ["| tokens seen | question | answer | both | ECE of both |", "|---|---|---|---|---|"]
    for tokens in TOKENS:
        answer, both = (judged(rows, tokens, use, by_group) for use in ("answer", "both"))
        ece = calibration_error(both.p, both.y)
        name = "all" if tokens is None else tokens
        lines.append(
            f"| {name} | {question:.3f} | {answer.auroc:.3f} | {both.auroc:.3f} | {ece:.3f} |"
        )
        print(lines[-1], flush=True)
    return lines


def by_budget(rows: Sequence[Row], tokens: int | None) -> list[str]:
    """The table of accuracy at a share escalated, families held out at random."""
    lines = ["| escalated | question | answer | both | at random |", "|---|---|---|---|---|"]
    ways = {use: judged(rows, tokens, use, False) for use in ("question", "answer", "both")}
    small = float(np.mean([row.small for row in rows]))
    large = float(np.mean([row.large for row in rows]))
    for budget in BUDGETS:
        cells = []
        for one in ways.values():
            at, low, high = accuracy(rows, one, budget)
            cells.append(f"{at:.1%} ({low:.1%} to {high:.1%})")
        by_chance = small + budget * (large - small)
        lines.append(f"| {budget:.0%} | {' | '.join(cells)} | {by_chance:.1%} |")
        print(lines[-1], flush=True)
    return lines


def gsm8k_rows() -> list[Row]:
    """RouteLLM's GSM8K: how long the weak model's answer was, and which of both was right."""
    if not (DATA / "routellm_gsm8k.jsonl.gz").is_file():
        return []
    kept = (r for r in read("routellm_gsm8k") if not r["contaminated"])
    return [
        Row(
            r["prompt"],
            "x" * int(r["weak_response_chars"]),
            float(r["weak"]),
            float(r["strong"]),
            group="gsm8k",
        )
        for r in kept
    ]


def main() -> None:
    """Write the tables."""
    rows = with_gain(read_rows([ANSWERS]))
    wrong = sum(row.label for row in rows)
    families = len({row.group for row in rows})
    text = [
        "# How many tokens tell that an answer is wrong",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. SmolLM2-135M-Instruct W4A16 on vLLM's CPU build, greedy;",
        f"{len(rows)} tasks of {families} families, {wrong:.0f} answered wrong. Label: the small",
        "model is wrong; a large one is taken to be right, for these tasks are easy. AUROC and",
        f"calibration on rows that the head was not fitted on, mean of {len(SEEDS)} splits.",
        "`python -m bench.answer_check.collect`, `python -m bench.answer_check.table`.",
        "",
        "## Split at random",
        "",
        *by_tokens(rows, by_group=False),
        "",
        "## Whole task families held out",
        "",
        *by_tokens(rows, by_group=True),
        "",
        "## Accuracy by the share escalated, 16 tokens seen, split at random (95% bootstrap)",
        "",
        *by_budget(rows, 16),
    ]
    if gsm := gsm8k_rows():
        gsm = with_gain(gsm)
        ways = {use: judged(gsm, None, use, False).auroc for use in ("question", "answer", "both")}
        text += [
            "",
            f"## RouteLLM's GSM8K ({len(gsm)} rows, Mixtral against GPT-4), split at random",
            "",
            "Our copy of the data holds the length of the answers alone, so that the answer is one",
            "number here. AUROC: "
            + ", ".join(f"{use} {value:.3f}" for use, value in ways.items())
            + ".",
            "",
            *by_budget(gsm, None),
        ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
