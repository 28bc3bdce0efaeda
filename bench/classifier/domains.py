"""Domains from a dozen examples: named, and left alone: `python -m bench.classifier.domains`.

Three domains of CLINC150 intents, each learned from its first examples; the rest of them must be
named, prompts of no domain must not be. Mean of three draws of the examples.
"""

import random
from collections import defaultdict

import numpy as np

from bench.classifier.datasets import read
from bench.classifier.results import save
from classifier import load

DOMAINS = {
    "banking": ("balance", "transfer", "freeze_account", "pin_change"),
    "travel": ("book_flight", "travel_alert", "international_visa", "flight_status"),
    "cooking": ("recipe", "cook_time", "calories", "ingredient_substitution"),
}
_EXAMPLES, _DRAWS, _ROWS = (6, 12, 30), 3, 300


def foreign(by_label: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return prompts that belong to none of the domains."""
    inside = {label for labels in DOMAINS.values() for label in labels} | {"oos"}
    others = [text for label, texts in by_label.items() if label not in inside for text in texts]
    sources = {"GSM8K": "routellm_gsm8k", "MMLU": "routellm_mmlu"}
    found = {"out of scope": by_label["oos"], "other intents": others}
    found |= {name: [r["prompt"] for r in read(source)] for name, source in sources.items()}
    return {name: texts[:: max(len(texts) // _ROWS, 1)] for name, texts in found.items()}


def draw(by_label: dict[str, list[str]], examples: int, seed: int) -> dict[str, float]:
    """Return the shares of one draw of examples."""
    rng, given, asked = random.Random(seed), {}, []
    for name, labels in DOMAINS.items():
        texts = [text for label in labels for text in by_label[label]]
        rng.shuffle(texts)
        given[name] = texts[:examples]
        asked += [(name, text) for text in texts[examples : examples + _ROWS]]
    classifier = load(domains=given)

    def domains(texts: list[str]) -> list[str | None]:
        return [score.domain for score in classifier.score_batch(texts)]

    said = domains([text for _, text in asked])
    right = [name == domain for (name, _), domain in zip(asked, said, strict=True) if domain]
    figures = {"named": len(right) / len(asked), "of_these_right": float(np.mean(right))}
    for name, texts in foreign(by_label).items():
        figures[f"{name}: named"] = float(np.mean([d is not None for d in domains(texts)]))
    return figures


def main() -> None:
    """Write ``results/domains.json``."""
    by_label = defaultdict(list)
    for row in read("prompts_clinc150"):
        by_label[row["label"]].append(row["prompt"])
    table = {}
    for examples in _EXAMPLES:
        drawn = [draw(by_label, examples, seed) for seed in range(_DRAWS)]
        means = {key: round(float(np.mean([d[key] for d in drawn])), 3) for key in drawn[0]}
        table[f"{examples} examples each"] = means
    save("domains", table)


if __name__ == "__main__":
    main()
