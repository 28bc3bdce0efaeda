"""The shared data sets as rows: outcomes where they were measured, weak labels where declared."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.classifier.authored import EVERYDAY, HARD
from classifier.data.rows import Row

#: Beside the repository, never inside it.
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "router"

SMALL = "llama-3.1-8b-instruct"
LARGE = ("llama-3.1-nemotron-51b-instruct", "llama-3.3-nemotron-super-49b-v1")

#: What a weak label claims: on bounded work both tiers are nearly always right, on hard work the
#: small one mostly is not. Guesses by us, declared, and trained on at a reduced weight.
BOUNDED_LABEL, HARD_LABEL = (0.95, 0.96), (0.30, 0.80)


def read(name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of ``DATA/name.jsonl.gz``."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def mmlu() -> list[Row]:
    """RouteLLM's MMLU outcomes without its contaminated rows; the group is the subject."""
    return [
        Row(r["prompt"], r["weak"], r["strong"], r["domain"])
        for r in read("routellm_mmlu")
        if not r["contaminated"]
    ]


def gsm8k() -> list[Row]:
    """RouteLLM's GSM8K outcomes without its contaminated rows."""
    kept = (r for r in read("routellm_gsm8k") if not r["contaminated"])
    return [Row(r["prompt"], r["weak"], r["strong"], "gsm8k") for r in kept]


def llmrouter() -> list[Row]:
    """LLMRouter: an 8B model against the better of two 50B models; the group is the task."""
    return [
        Row(r["prompt"], r["scores"][SMALL], max(r["scores"][m] for m in LARGE), r["task"])
        for r in read("llmrouter_9models")
    ]


def t0_family(template: str) -> str:
    """Return the data set that a T0 template asks about: ``imdb_Movie...`` is ``imdb``."""
    return template.split("_")[0]


def bounded() -> list[Row]:
    """Bounded prompts under the weak label, grouped by family."""
    pairs = [("clinc150", r["prompt"]) for r in read("prompts_clinc150")]
    pairs += [("banking77", r["prompt"]) for r in read("prompts_banking77")]
    pairs += [
        (f"t0-{t0_family(r['template'])}", r["prompt"]) for r in read("prompts_t0_bounded_tasks")
    ]
    pairs += [(f"everyday-{name}", text) for name, texts in EVERYDAY.items() for text in texts]
    return [Row(text, *BOUNDED_LABEL, group=group) for group, text in pairs]


def hard() -> list[Row]:
    """Authored hard prompts under the weak label, grouped by family."""
    return [
        Row(text, *HARD_LABEL, group=f"hard-{name}")
        for name, texts in HARD.items()
        for text in texts
    ]


def novel() -> list[str]:
    """Return expert-written tasks of self-instruct's user-oriented set; never trained on."""
    return [r["prompt"] for r in read("prompts_selfinstruct_user_oriented")]


def sample(rows: list[Row], count: int, seed: int) -> list[Row]:
    """Return ``count`` rows drawn without replacement, or all where there are fewer."""
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[i] for i in np.sort(order)]
