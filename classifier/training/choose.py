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
from classifier.training.prepare import Options, Prepared

#: Bootstrap draws behind the standard error that the choice of rung allows for.
_DRAWS = 200


def choose(
    data: Prepared, rungs: dict[str, Headed], options: Options
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the cheapest rung within a standard error of the best, and how far each lies behind.

    Judged on the calibration rows; rows of unseen families, where given, count for half. The
    differences are paired over the same bootstrap draws.
    """
    index = data.calibrate_on
    sets = [(data.texts_at(index), data.vectors[index], data.outcomes(index, options.objective))]
    if options.unseen:
        sets.append(_unseen(data, options))
    areas = {
        name: np.mean([_areas(rung, *judging) for judging in sets], axis=0)
        for name, rung in rungs.items()
    }
    best = max(areas.values(), key=lambda found: float(found[0]))
    gaps = {name: best - found for name, found in areas.items()}
    ladder = {name: (float(gap[0]), float(gap[1:].std())) for name, gap in gaps.items()}
    return next(name for name, (behind, error) in ladder.items() if behind <= error), ladder


def _unseen(data: Prepared, options: Options) -> tuple[list[str], NDArray[np.float32], Outcomes]:
    texts = [flatten(row.conversation) for row in options.unseen]
    embedding = static_embedding(data.base)
    outcome = labels(options.unseen)
    large = np.ones(len(texts)) if options.objective == "fail" else outcome[:, 1]
    vectors = np.stack([embedding.embed(t) for t in texts])
    return texts, vectors, Outcomes(outcome[:, 0], large, None)


def _areas(
    rung: Headed, texts: list[str], vectors: NDArray[np.float32], outcome: Outcomes
) -> Floats:
    """Return the mean quality over all budgets: on all rows, then on each bootstrap draw."""
    small, large = rung.probabilities(texts, vectors)
    gain, n = large - small, len(texts)
    rng = np.random.default_rng(0)
    draws = [np.arange(n), *(rng.integers(0, n, n) for _ in range(_DRAWS))]
    return np.array([area(gain[i], outcome.small[i], outcome.large[i]) for i in draws])
