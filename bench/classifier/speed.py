"""Milliseconds a prompt, one thread, tokeniser included: `python -m bench.classifier.speed`.

CPU time of the scoring thread, since the machine is shared; wall time beside it. Ten prompts of a
length in a row, the lengths in turn, so that a noisy minute falls on all of them. (Every prompt
after one of another length finds colder caches: 0.4 ms more at 12 tokens.)
"""

import resource
import time
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from bench.classifier.datasets import mmlu, read
from bench.classifier.results import save
from classifier.classifier import Classifier, load
from classifier.headed import open_headed
from classifier.tokens import open_tokenizer

_ROUNDS = 30


def prompts(classifier: Classifier) -> dict[str, list[str]]:
    """Return ten real prompts of about each length; tokens as the encoder counts them.

    The shortest MMLU question has 20 tokens, so the shortest kind comes from CLINC150.
    """
    tokenizer = open_tokenizer(classifier.artifact.read("tokenizer.json"))
    exam = [str(row.conversation) for row in mmlu()]
    intents = [row["prompt"] for row in islice(read("prompts_clinc150"), 4_000)]

    def nearest(texts: list[str], tokens: int) -> list[str]:
        counts = np.array([len(tokenizer.encode(t).ids) for t in texts[:4_000]])
        return [texts[i] for i in np.argsort(np.abs(counts - tokens), kind="stable")[:10]]

    long = " ".join(exam)
    return {
        "12 tokens": nearest(intents, 12),
        "75 tokens": nearest(exam, 75),
        "400 tokens": nearest(exam, 400),
        "10,000 characters": [long[i * 5_000 :][:10_000] for i in range(10)],
        "200,000 characters": [long[i * 50_000 :][:200_000] for i in range(10)],
    }


def timed(classifier: Classifier, found: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """Return median and 99th percentile, CPU and wall, by length."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    classifier.score("warm up")
    for _ in range(_ROUNDS):
        for name, texts in found.items():
            taken[name] += [_once(classifier, text) for text in texts]
    return {name: _figures(np.array(pairs)) for name, pairs in taken.items()}


def _once(classifier: Classifier, text: str) -> tuple[float, float]:
    cpu, wall = time.thread_time(), time.perf_counter()
    classifier.score(text)
    spent = time.thread_time() - cpu, time.perf_counter() - wall
    return 1e3 * spent[0], 1e3 * spent[1]


def _figures(pairs: NDArray[np.float64]) -> dict[str, float]:
    """The fastest tenth is what the code costs where nobody disturbs it."""
    return {
        f"{clock}_ms_p{round(100 * at)}": round(float(np.quantile(pairs[:, column], at)), 3)
        for column, clock in enumerate(("cpu", "wall"))
        for at in (0.1, 0.5, 0.99)
    }


def main() -> None:
    """Write ``results/speed.json`` for the served rung and the lexical one."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    classifier = load()
    classifier.score("warm up")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = prompts(classifier)
    figures: dict[str, object] = {
        "artifact_id": classifier.artifact_id,
        "memory_mib": {"before_load": before / 1024, "after_load": after / 1024},
        classifier.rung_name: timed(classifier, found),
    }
    lexical = load()
    lexical.headed = open_headed(lexical.artifact, "lexical", lexical.embedding.dimensions)
    save("speed", figures | {"lexical": timed(lexical, found)})


if __name__ == "__main__":
    main()
