"""Windows of 300 prompts with and without foreign traffic: `python -m bench.classifier.drift`.

Home traffic: bounded prompts of CLINC and T0 mixed with exam questions; half sets the reference,
windows come from the other half. Foreign: banking questions. The population stability index of
the score, at its folk threshold of 0.2, is measured beside ours.
"""

import numpy as np

from bench.classifier.datasets import bounded, llmrouter, sample
from bench.classifier.results import save
from classifier import THRESHOLD, load
from classifier.drift import DriftMonitor
from classifier.text import flatten

_WINDOWS = 300


def psi(a: np.ndarray, b: np.ndarray) -> float:
    """Return the population stability index over ten reference deciles."""
    edges = np.quantile(b, np.linspace(0, 1, 11)[1:-1])
    p = np.bincount(np.searchsorted(edges, a), minlength=10) / len(a) + 1e-4
    q = np.bincount(np.searchsorted(edges, b), minlength=10) / len(b) + 1e-4
    return float(((p - q) * np.log(p / q)).sum())


def main() -> None:
    """Write ``results/drift.json``: alarm rates by share of foreign prompts."""
    classifier, rng = load(), np.random.default_rng(0)
    rows = bounded()
    home = sample([r for r in rows if r.group == "clinc150"], 1_500, 0)
    home += sample([r for r in rows if str(r.group).startswith("t0-")], 1_500, 1)
    home += sample(llmrouter(), 1_000, 2)
    strange = sample([r for r in rows if r.group == "banking77"], 1_500, 3)
    seen = {}
    for name, part in (("home", home), ("foreign", strange)):
        texts = [flatten(r.conversation) for r in part]
        vectors = classifier.vectors(texts)
        scores = classifier.score_texts(texts, vectors)
        columns = np.array([(s.complexity, s.familiar) for s in scores])
        seen[name] = vectors, columns[:, 0], columns[:, 1]
    order = rng.permutation(len(home))
    known, fresh = order[:1_000], order[1_000:]
    home_vectors, home_scores, _ = seen["home"]
    monitor = DriftMonitor(home_vectors[known], home_scores[known])
    figures = {}
    for share in (0.0, 0.1, 0.2):
        count = round(share * monitor.window)
        alarms, folk = 0, 0
        for _ in range(_WINDOWS):
            a = rng.choice(fresh, monitor.window - count, replace=False)
            b = rng.choice(len(strange), count, replace=False)
            mixed = [np.concatenate([h[a], f[b]]) for h, f in zip(*seen.values(), strict=True)]
            alarms += monitor.report(mixed[0], mixed[1], mixed[2], THRESHOLD).alarm
            folk += psi(mixed[1], home_scores[known]) > 0.2
        figures[f"{share:.0%} foreign"] = {
            "alarm_rate": alarms / _WINDOWS,
            "psi_over_0.2_rate": folk / _WINDOWS,
        }
    save("drift", {"artifact_id": classifier.artifact_id, "window": 300, "rates": figures})


if __name__ == "__main__":
    main()
