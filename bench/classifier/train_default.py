"""Trains the shipped default: `python -m bench.classifier.train_default`.

Measured outcomes (LLMRouter, RouteLLM's MMLU and GSM8K) and weak labels at a reduced weight for
everyday bounded work and for authored hard prompts. Weak rows teach; they neither calibrate nor
judge. Whole families are held out, so that the model's figures on families it never saw are those
of the artefact itself; others choose the rung. Stopped and started again with ``--checkpoint``, it
resumes.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.classifier import authored
from bench.classifier.datasets import bounded, gsm8k, hard, llmrouter, mmlu, sample
from classifier.artifact import SHIPPED
from classifier.data.rows import Row
from classifier.training.packaging import write
from classifier.training.prepare import Options
from classifier.training.recipe import Recipe
from classifier.training.run import train

#: Never trained on: bounded and hard families that the everyday bench scores.
HELD_OUT = (
    {f"everyday-{name}" for name in authored.HELD_OUT}
    | {f"hard-{name}" for name in authored.HELD_OUT}
    | {f"t0-{name}" for name in ("duorc", "xsum", "amazon", "trec", "samsum", "quoref", "paws")}
    | {"banking77", "agentverse-logicgrid", "human_eval"}
)
#: Not trained on either: they choose between rungs.
CHOOSING = {f"{kind}-{name}" for kind in ("everyday", "hard") for name in authored.CHOOSING} | {
    f"t0-{name}" for name in ("gigaword", "ropes", "rotten", "dbpedia")
}
#: Not trained on here: the heads alone learn them, afterwards (``teach_heads``).
FOR_HEADS = {f"{kind}-{name}" for kind in ("everyday", "hard") for name in authored.FOR_HEADS}
#: Rows of a bounded family at most, so that no single intent list dominates.
FAMILY_ROWS = {"clinc150": 1_500}
OTHER_ROWS = 250
_ELSEWHERE = HELD_OUT | CHOOSING | FOR_HEADS
#: A weak label says less than a measured one; a hundred authored hard prompts stand for many.
BOUNDED_WEIGHT, HARD_WEIGHT = 0.5, 2.0
#: Documents are bounded prompts of this many characters or more; how many are asked about in a
#: bounded way, and how many each hard prompt is set over.
DOCUMENT_CHARS, BOUNDED_DOCUMENTS, HARD_DOCUMENTS = 500, 400, 2
#: The traffic that sets the threshold: 98 in 100 bounded, the rest hard, 5 in 100 sent large.
HARD_SHARE, BUDGET = 0.02, 0.05
HARD_TRAFFIC = ("math", "gpqa", "agentverse-mgsm")

LICENCES = {
    "llmrouter_9models": "MIT (ulab-uiuc/LLMRouter)",
    "routellm_mmlu, routellm_gsm8k": "Apache-2.0 (lm-sys/RouteLLM; MMLU and GSM8K: MIT)",
    "prompts_clinc150": "CC-BY-3.0 (clinc/oos-eval), weak labels",
    "prompts_t0_bounded_tasks": "Apache-2.0 (yizhongw/self-instruct), weak labels",
    "authored": "Apache-2.0 (this project), weak labels",
}


def weak_rows(seed: int) -> list[Row]:
    """Return the weakly labelled training rows, families capped and the kept-out ones left out."""
    kept: list[Row] = []
    rows = [row for row in bounded() if row.group not in _ELSEWHERE]
    for group in sorted({str(row.group) for row in rows}):
        family = [row for row in rows if row.group == group]
        kept += sample(family, FAMILY_ROWS.get(group, OTHER_ROWS), seed)
    return [replace(row, weight=BOUNDED_WEIGHT, weak=True) for row in kept]


def hard_rows() -> list[Row]:
    """Return the authored hard training rows."""
    kept = (row for row in hard() if row.group not in _ELSEWHERE)
    return [replace(row, weight=HARD_WEIGHT, weak=True) for row in kept]


def over_documents(easy: list[Row], tough: list[Row], seed: int) -> Iterator[Row]:
    """Yield bounded and hard instructions over long bounded texts, half before, half behind."""
    rng = np.random.default_rng(seed)
    documents = [row for row in easy if len(str(row.conversation)) >= DOCUMENT_CHARS]
    order = rng.permutation(len(documents))
    for i, at in enumerate(order[:BOUNDED_DOCUMENTS]):
        ask = authored.BOUNDED_ASKS[i % len(authored.BOUNDED_ASKS)]
        text = authored.over_document(ask, str(documents[at].conversation), bool(i % 2))
        yield replace(documents[at], conversation=text, group="everyday-documents")
    for i, row in enumerate(tough * HARD_DOCUMENTS):
        document = str(documents[order[-1 - i]].conversation)
        lead = authored.HARD_ASKS[i % len(authored.HARD_ASKS)]
        text = authored.over_document(str(row.conversation), f"{lead}\n{document}", bool(i % 2))
        yield replace(row, conversation=text)


def divide(seed: int) -> tuple[list[Row], list[str]]:
    """Return the training rows, and unlabelled traffic that shares no prompt with them."""
    rng = np.random.default_rng(seed)
    outcomes = [row for row in mmlu() + gsm8k() + llmrouter() if row.group not in HELD_OUT]
    weak, tough = weak_rows(seed), hard_rows()
    taken = rng.random(len(weak)) < 0.25
    easy_traffic = [row for row, t in zip(weak, taken, strict=True) if t]
    easy = [row for row, t in zip(weak, taken, strict=True) if not t]
    candidates = [row for row in outcomes if row.group in HARD_TRAFFIC]
    count = round(len(easy_traffic) * HARD_SHARE / (1 - HARD_SHARE))
    hard_traffic = sample(candidates, count, seed)
    held = {id(row) for row in hard_traffic}
    kept = [row for row in outcomes if id(row) not in held]
    return kept + easy + tough + list(over_documents(easy, tough, seed)), [
        str(row.conversation) for row in easy_traffic + hard_traffic
    ]


def unseen(seed: int) -> list[Row]:
    """Return the rows of the choosing families: four bounded ones to a hard one."""
    tough = [row for row in hard() if row.group in CHOOSING]
    easy = [row for row in bounded() if row.group in CHOOSING]
    return tough + sample(easy, 4 * len(tough), seed)


def main() -> None:
    """Train and write the artefact, by default over the shipped one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--epochs", type=int, default=1)
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
            unseen=unseen(options.seed),
            recipe=Recipe(epochs=options.epochs, checkpoint=options.checkpoint),
            progress=progress,
        ),
    )
    print(trained.chosen, trained.ladder, trained.advantage, flush=True)
    notes = {
        "data": LICENCES,
        "held_out_families": sorted(HELD_OUT),
        "choosing_families": sorted(CHOOSING),
    }
    print(write(trained, options.out, notes))


if __name__ == "__main__":
    main()
