"""Bounded everyday prompts against hard reasoning: `python -m bench.classifier.everyday`.

Only families that the shipped default was never trained on, at its own threshold, under each
policy for unfamiliar prompts. This is the bench that the default's policy was chosen by.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from bench.classifier.datasets import bounded, hard, llmrouter, novel
from bench.classifier.results import save
from bench.classifier.train_default import HELD_OUT
from classifier.classifier import Classifier, load
from classifier.familiarity import UNFAMILIAR_BELOW
from classifier.score import THRESHOLD
from classifier.text import flatten

#: Rows of a family at most; 300 give a share to within 6 points.
_FAMILY_ROWS = 300


def families() -> dict[str, dict[str, list[str]]]:
    """Return the held-out prompts by kind and family."""
    kinds: dict[str, dict[str, list[str]]] = {"bounded": {}, "hard": {}}
    for kind, rows in (("bounded", bounded()), ("hard", hard() + llmrouter())):
        found = defaultdict(list)
        for row in rows:
            if row.group in HELD_OUT:
                found[str(row.group)].append(str(row.conversation))
        for name, texts in found.items():
            order = np.random.default_rng(0).permutation(len(texts))[:_FAMILY_ROWS]
            kinds[kind][name] = [texts[i] for i in order]
    return kinds | {"novel expert": {"self-instruct": novel()}}


def shares(classifier: Classifier, prompts: list[str]) -> dict[str, float]:
    """Return the share sent large under each policy, and the share that is unfamiliar."""
    texts = [flatten(p) for p in prompts]
    vectors = classifier.vectors(texts)
    small, large = classifier.headed.probabilities(texts, vectors)
    sent = classifier.map.apply(large - small) >= THRESHOLD
    strange = classifier.familiarity(vectors) < UNFAMILIAR_BELOW
    return {
        "n": len(prompts),
        "unfamiliar": float(strange.mean()),
        "score": float(sent.mean()),
        "small": float((sent & ~strange).mean()),
        "large": float((sent | strange).mean()),
    }


def main() -> None:
    """Write ``results/everyday.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    classifier = load(parser.parse_args().model)
    table = {
        kind: {name: shares(classifier, texts) for name, texts in sorted(found.items())}
        for kind, found in families().items()
    }
    pooled = {
        kind: shares(classifier, [t for texts in found.values() for t in texts])
        for kind, found in families().items()
    }
    save(
        "everyday",
        {
            "artifact_id": classifier.artifact_id,
            "rung": classifier.rung_name,
            "policy": classifier.policy,
            "pooled": pooled,
            "families": table,
        },
    )


if __name__ == "__main__":
    main()
