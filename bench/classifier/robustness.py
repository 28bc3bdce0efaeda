"""Harmless rewordings must keep their route: `python -m bench.classifier.robustness`.

Each rewording is judged on the prompts that it changes; how many of those that went large stay
large stands beside the share of all, since most prompts are small either way.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.classifier.datasets import mmlu
from bench.classifier.everyday import families
from bench.classifier.results import FOLDER, save
from classifier import THRESHOLD, Classifier, load
from classifier.text import Conversation

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


def under_a_system_prompt(text: str, _rng: random.Random) -> Conversation:
    """Put an application's system prompt before the prompt."""
    system = "You are the assistant of a hardware shop. Answer politely and briefly. " * 50
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def after_small_talk(text: str, _rng: random.Random) -> Conversation:
    """Let the prompt be the second turn of a chat."""
    return [
        {"role": "user", "content": "Hi, I have a question about my homework."},
        {"role": "assistant", "content": "Sure, go ahead. I am happy to help you with anything."},
        {"role": "user", "content": text},
    ]


REWORDINGS: dict[str, Callable[[str, random.Random], Conversation]] = {
    "typo": typo,
    "upper case": lambda t, _: t.upper(),
    "lower case": lambda t, _: t.lower(),
    "trailing space": lambda t, _: t + " ",
    "500 spaces after": lambda t, _: t + " " * 500,
    "500 spaces inside": lambda t, _: t.replace(" ", " " * 500, 1),
    "please": lambda t, _: f"Please {t[:1].lower()}{t[1:]} Thank you!",
    "please, longer": lambda t, _: (
        f"Hello! Could you help me with this? {t} Many thanks in advance."
    ),
    "courtesy not listed": lambda t, _: (
        f"I would be grateful for your view on this. {t} Best regards, Anna"
    ),
    "padding sentence before": lambda t, _: f"I hope you are well. {t}",
    "padding sentence after": lambda t, _: f"{t} I hope you are well.",
    "options reversed": options_reversed,
    "under a system prompt": under_a_system_prompt,
    "after small talk": after_small_talk,
}


def prompts(rng: random.Random) -> list[str]:
    """Return held-out prompts of each kind, and exam questions, which have options."""
    found = []
    for families_of_kind in families().values():
        texts = [text for family in families_of_kind.values() for text in family]
        found += rng.sample(texts, min(_PER_KIND, len(texts)))
    return found + rng.sample([str(row.conversation) for row in mmlu()], _PER_KIND)


def judged(
    classifier: Classifier, given: Sequence[str], reworded: Sequence[Conversation]
) -> dict[str, float]:
    """Return the share of routes kept, and how far the score moved, where the text changed."""
    pairs = [(g, r) for g, r in zip(given, reworded, strict=True) if g != r]
    before, after = (
        np.array([s.complexity for s in classifier.score_batch(texts)])
        for texts in zip(*pairs, strict=True)
    )
    large = before >= THRESHOLD
    same = large == (after >= THRESHOLD)
    return {
        "prompts": len(pairs),
        "routes_kept": round(float(same.mean()), 4),
        "sent_large": int(large.sum()),
        "large_kept": round(float(same[large].mean()), 4),
        "mean_move": round(float(np.abs(before - after).mean()), 4),
        "largest_move": round(float(np.abs(before - after).max()), 4),
    }


def table(kept: Mapping[str, Mapping[str, float]]) -> str:
    """Return the Markdown table of the figures."""
    lines = ["| rewording | prompts | routes kept | of the large ones | mean move of the score |"]
    lines += ["|---|---|---|---|---|"]
    lines += [
        f"| {name} | {r['prompts']} | {r['routes_kept']:.1%} | {r['large_kept']:.1%} of "
        f"{r['sent_large']} | {r['mean_move']:.3f} |"
        for name, r in kept.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write ``results/robustness.json`` and the same as a table, ``results/robustness.md``."""
    parser = argparse.ArgumentParser(description="Routes kept under harmless rewordings.")
    parser.add_argument("--model", type=Path, default=None)
    classifier, rng = load(parser.parse_args().model), random.Random(0)
    given = prompts(rng)
    kept = {
        name: judged(classifier, given, [reword(text, rng) for text in given])
        for name, reword in REWORDINGS.items()
    }
    save("robustness", {"artifact_id": classifier.artifact_id, "kept": kept})
    (FOLDER / "robustness.md").write_text(table(kept))


if __name__ == "__main__":
    main()
