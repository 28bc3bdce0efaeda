"""Which rung is worth its cost: the cheapest within one standard error of the best."""

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import Floats
from classifier.classifier import static_embedding
from classifier.data.rows import labels
from classifier.headed import Headed
from classifier.judging.candidates import Outcomes
from classifier.judging.metrics import area
from classifier.text import flatten
from classifier.training.prepare import Indices, Options, Prepared

#: Bootstrap draws behind the standard error that the choice of rung allows for.
_DRAWS = 200


def choose(
    data: Prepared,
    rungs: dict[str, Headed],
    options: Options,
    crossed: tuple[Indices, dict[str, Floats]] | None = None,
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the cheapest rung within a standard error of the best, and how far each lies behind.

    Judged on the calibration rows, or on ``crossed``: rows and each rung's gain of them, where few
    labels had to be cross-fitted. Rows of unseen families, where given, count for half. The
    differences are paired over the same bootstrap draws.
    """
    areas = {
        name: np.mean([_areas(gain, outcome) for gain, outcome in judged], axis=0)
        for name, judged in _judged(data, rungs, options, crossed).items()
    }
    best = max(areas.values(), key=lambda found: float(found[0]))
    gaps = {name: best - found for name, found in areas.items()}
    ladder = {name: (float(gap[0]), float(gap[1:].std())) for name, gap in gaps.items()}
    return next(name for name, (behind, error) in ladder.items() if behind <= error), ladder


def _judged(
    data: Prepared,
    rungs: dict[str, Headed],
    options: Options,
    crossed: tuple[Indices, dict[str, Floats]] | None,
) -> dict[str, list[tuple[Floats, Outcomes]]]:
    """Return each rung's gains on the rows that compare rungs, and what happened there."""
    if crossed is not None:
        index, gains = crossed
        outcome = data.outcomes(index, options.objective)
        return {name: [(gain, outcome)] for name, gain in gains.items()}
    index = data.calibrate_on
    sets = [(data.texts_at(index), data.vectors[index], data.outcomes(index, options.objective))]
    if options.unseen:
        sets.append(_unseen(data, options))
    return {name: [_gain(rung, *judging) for judging in sets] for name, rung in rungs.items()}


def _unseen(data: Prepared, options: Options) -> tuple[list[str], NDArray[np.float32], Outcomes]:
    texts = [flatten(row.conversation) for row in options.unseen]
    embedding = static_embedding(data.base)
    outcome = labels(options.unseen)
    large = np.ones(len(texts)) if options.objective == "fail" else outcome[:, 1]
    vectors = np.stack([embedding.embed(t) for t in texts])
    return texts, vectors, Outcomes(outcome[:, 0], large, None)


def _gain(
    rung: Headed, texts: list[str], vectors: NDArray[np.float32], outcome: Outcomes
) -> tuple[Floats, Outcomes]:
    small, large = rung.probabilities(texts, vectors)
    return large - small, outcome


def _areas(gain: Floats, outcome: Outcomes) -> Floats:
    """Return the mean quality over all budgets: on all rows, then on each bootstrap draw."""
    rng, n = np.random.default_rng(0), len(gain)
    draws = [np.arange(n), *(rng.integers(0, n, n) for _ in range(_DRAWS))]
    return np.array([area(gain[i], outcome.small[i], outcome.large[i]) for i in draws])
