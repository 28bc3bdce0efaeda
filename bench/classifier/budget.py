"""A 5% budget set from 1,000 prompts, on 100 fresh windows: `python -m bench.classifier.budget`."""

import numpy as np

from bench.classifier.results import save
from bench.classifier.train_default import divide
from classifier import load
from classifier.threshold.budget import set_budget
from classifier.threshold.recalibrate import sight

_RESAMPLES, _PROMPTS = 100, 1_000


def main() -> None:
    """Write ``results/budget.json``: how often the realised rate fell in the printed interval.

    Both samples are drawn from the same pool with replacement, so neither is the other's subset.
    """
    classifier, rng = load(), np.random.default_rng(1)
    rows, _ = divide(0)
    pool = [rows[i].conversation for i in rng.permutation(len(rows))[:3_000]]
    gain = sight(classifier, pool).effective
    inside, rates = 0, []
    for _ in range(_RESAMPLES):
        budget = set_budget(rng.choice(gain, _PROMPTS), 0.05)
        rate = float((rng.choice(gain, _PROMPTS) >= budget.gain).mean())
        inside += budget.interval[0] <= rate <= budget.interval[1]
        rates.append(rate)
    low, high = np.quantile(rates, [0.025, 0.975])
    save(
        "budget",
        {
            "artifact_id": classifier.artifact_id,
            "inside": inside,
            "of": _RESAMPLES,
            "last_interval": list(budget.interval),
            "realised_95": [float(low), float(high)],
        },
    )


if __name__ == "__main__":
    main()
