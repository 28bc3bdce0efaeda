"""Harmless rewordings must keep their route: `python -m bench.classifier.robustness`."""

import random
from collections.abc import Callable

import numpy as np

from bench.classifier.everyday import families
from bench.classifier.results import save
from classifier import THRESHOLD, load

_PER_KIND = 150


def typo(text: str, rng: random.Random) -> str:
    """Swap two neighbouring letters in every twentieth word, at least one."""
    words = text.split(" ")
    for i in rng.sample(range(len(words)), max(len(words) // 20, 1)):
        if len(words[i]) > 3:
            at = rng.randrange(1, len(words[i]) - 2)
            w = words[i]
            words[i] = w[:at] + w[at + 1] + w[at] + w[at + 2 :]
    return " ".join(words)


def options_reversed(text: str, _rng: random.Random) -> str:
    """Reverse the lines that look like answer options."""
    lines = text.split("\n")
    spots = [i for i, line in enumerate(lines) if line[:2] in ("A.", "B.", "C.", "D.", "A)", "B)")]
    bodies = [lines[i][2:] for i in spots][::-1]
    for i, body in zip(spots, bodies, strict=True):
        lines[i] = lines[i][:2] + body
    return "\n".join(lines)


REWORDINGS: dict[str, Callable[[str, random.Random], str]] = {
    "typo": typo,
    "upper case": lambda t, _: t.upper(),
    "lower case": lambda t, _: t.lower(),
    "500 spaces after": lambda t, _: t + " " * 500,
    "500 spaces inside": lambda t, _: t.replace(" ", " " * 500, 1),
    "please": lambda t, _: f"Please {t[:1].lower()}{t[1:]} Thank you!",
    "padding sentence": lambda t, _: f"I hope you are well. {t}",
    "options reversed": options_reversed,
}


def main() -> None:
    """Write ``results/robustness.json``: the share of routes kept under each rewording."""
    classifier, rng = load(), random.Random(0)
    kinds = families()
    prompts = []
    for found in kinds.values():
        texts = [t for family in found.values() for t in family]
        prompts += rng.sample(texts, min(_PER_KIND, len(texts)))
    before = [s.complexity for s in classifier.score_batch(prompts)]
    kept = {}
    for name, reword in REWORDINGS.items():
        after = [s.complexity for s in classifier.score_batch([reword(p, rng) for p in prompts])]
        same = [(a >= THRESHOLD) == (b >= THRESHOLD) for a, b in zip(before, after, strict=True)]
        moved = float(np.mean(np.abs(np.subtract(before, after))))
        kept[name] = {"routes_kept": float(np.mean(same)), "mean_move": moved}
    save("robustness", {"artifact_id": classifier.artifact_id, "n": len(prompts), "kept": kept})


if __name__ == "__main__":
    main()
