"""Milliseconds a prompt, one thread, tokeniser included: `python -m bench.classifier.speed`.

CPU time of the scoring thread, since the machine is shared; wall time beside it. Interleaved
over lengths, so that a noisy minute falls on all of them.
"""

import resource
import time

import numpy as np

from bench.classifier.datasets import mmlu
from bench.classifier.results import save
from classifier.classifier import Classifier, load
from classifier.headed import open_headed
from classifier.tokens import open_tokenizer

_ROUNDS = 60


def prompts(classifier: Classifier) -> dict[str, list[str]]:
    """Return ten prompts of about each length, real ones where the data has them."""
    tokenizer = open_tokenizer(classifier.artifact.read("tokenizer.json"))
    texts = [str(row.conversation) for row in mmlu()]
    counts = np.array([len(tokenizer.encode(t).ids) for t in texts[:4_000]])
    found = {
        f"{n} tokens": [texts[i] for i in np.argsort(np.abs(counts - n), kind="stable")[:10]]
        for n in (12, 75, 400)
    }
    long = " ".join(texts)
    return found | {
        "10,000 characters": [long[i * 5_000 :][:10_000] for i in range(10)],
        "200,000 characters": [long[i * 50_000 :][:200_000] for i in range(10)],
    }


def timed(classifier: Classifier, found: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """Return median and 99th percentile, CPU and wall, by length."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    classifier.score("warm up")
    for i in range(_ROUNDS):
        for name, texts in found.items():
            cpu, wall = time.thread_time(), time.perf_counter()
            classifier.score(texts[i % len(texts)])
            spent = time.thread_time() - cpu, time.perf_counter() - wall
            taken[name].append((1e3 * spent[0], 1e3 * spent[1]))
    return {
        name: {
            "cpu_ms_p50": float(np.quantile([c for c, _ in pairs], 0.5)),
            "cpu_ms_p99": float(np.quantile([c for c, _ in pairs], 0.99)),
            "wall_ms_p50": float(np.quantile([w for _, w in pairs], 0.5)),
            "wall_ms_p99": float(np.quantile([w for _, w in pairs], 0.99)),
        }
        for name, pairs in taken.items()
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
