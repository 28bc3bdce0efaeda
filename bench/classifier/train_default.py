"""Trains the shipped default: `python -m bench.classifier.train_default`.

Measured outcomes (LLMRouter, RouteLLM's MMLU and GSM8K) and weak labels at a reduced weight for
everyday bounded work and for authored hard prompts. Whole families are held out, so that the
model's figures on families it never saw are those of the artefact itself. Stopped and started
again, it resumes from its checkpoint.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.classifier import authored
from bench.classifier.datasets import bounded, gsm8k, hard, llmrouter, mmlu, sample
from classifier.artifact import SHIPPED
from classifier.packaging import write
from classifier.recipe import Recipe
from classifier.rows import Row
from classifier.training import Options, train

#: Never trained on: bounded and hard families that the everyday bench scores.
HELD_OUT = (
    {f"everyday-{name}" for name in authored.HELD_OUT}
    | {f"hard-{name}" for name in authored.HELD_OUT}
    | {f"t0-{name}" for name in ("duorc", "xsum", "amazon", "trec", "samsum", "quoref", "paws")}
    | {"banking77", "agentverse-logicgrid", "human_eval"}
)
#: Rows of a bounded family at most, so that no single intent list dominates.
FAMILY_ROWS = {"clinc150": 900}
OTHER_ROWS = 250
#: A weak label says less than a measured one; 42 authored hard prompts stand for many.
BOUNDED_WEIGHT, HARD_WEIGHT = 0.5, 4.0
#: The traffic that sets the threshold: 98 in 100 bounded, the rest hard, 5 in 100 sent large.
HARD_SHARE, BUDGET = 0.02, 0.05
#: Hard prompts kept out of training for that traffic, as a share of it; more than are used.
RESERVED_HARD = 0.08
HARD_TRAFFIC = ("math", "gpqa", "agentverse-mgsm")

LICENCES = {
    "llmrouter_9models": "MIT (ulab-uiuc/LLMRouter)",
    "routellm_mmlu, routellm_gsm8k": "Apache-2.0 (lm-sys/RouteLLM; MMLU and GSM8K: MIT)",
    "prompts_clinc150": "CC-BY-3.0 (clinc/oos-eval), weak labels",
    "prompts_t0_bounded_tasks": "Apache-2.0 (yizhongw/self-instruct), weak labels",
    "authored": "Apache-2.0 (this project), weak labels",
}


def weak_rows(seed: int) -> list[Row]:
    """Return the weakly labelled training rows, families capped and held-out ones left out."""
    kept: list[Row] = []
    rows = [row for row in bounded() if row.group not in HELD_OUT]
    for group in sorted({str(row.group) for row in rows}):
        family = [row for row in rows if row.group == group]
        kept += sample(family, FAMILY_ROWS.get(group, OTHER_ROWS), seed)
    return [replace(row, weight=BOUNDED_WEIGHT) for row in kept] + [
        replace(row, weight=HARD_WEIGHT) for row in hard() if row.group not in HELD_OUT
    ]


def divide(seed: int) -> tuple[list[Row], list[str]]:
    """Return the training rows, and unlabelled traffic that shares no prompt with them."""
    outcomes = [row for row in mmlu() + gsm8k() + llmrouter() if row.group not in HELD_OUT]
    weak = weak_rows(seed)
    rng = np.random.default_rng(seed)
    reserved = rng.random(len(outcomes)) < 0.25
    hard_traffic = [
        row for row, r in zip(outcomes, reserved, strict=True) if r and row.group in HARD_TRAFFIC
    ]
    taken = rng.random(len(weak)) < 0.25
    pairs = list(zip(weak, taken, strict=True))
    easy_traffic = [row for row, t in pairs if t and row.weight == BOUNDED_WEIGHT]
    count = round(len(easy_traffic) * RESERVED_HARD / (1 - RESERVED_HARD))
    kept_out = easy_traffic + sample(hard_traffic, count, seed)
    held = {id(row) for row in kept_out}
    used = len(easy_traffic) + round(len(easy_traffic) * HARD_SHARE / (1 - HARD_SHARE))
    return [row for row in outcomes + weak if id(row) not in held], [
        str(row.conversation) for row in kept_out[:used]
    ]


def main() -> None:
    """Train and write the artefact, by default over the shipped one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--rungs", default="lexical,neural")
    parser.add_argument("--unfamiliar", default="score")
    options = parser.parse_args()
    rows, traffic = divide(options.seed)
    print(f"{len(rows)} rows, {len(traffic)} prompts of traffic", flush=True)
    last = [0.0]

    def progress(name: str, done: float) -> None:
        if done in (0.0, 1.0) or done - last[0] >= 0.05:
            last[0] = done
            print(f"{name} {done:.0%}", flush=True)

    trained = train(
        rows,
        Options(
            budget=BUDGET,
            seed=options.seed,
            rungs=options.rungs.split(","),
            unfamiliar=options.unfamiliar,
            traffic=traffic,
            recipe=Recipe(epochs=options.epochs, checkpoint=options.checkpoint),
            progress=progress,
        ),
    )
    print(trained.chosen, trained.ladder, trained.advantage, flush=True)
    print(write(trained, options.out, {"data": LICENCES, "held_out_families": sorted(HELD_OUT)}))


if __name__ == "__main__":
    main()
