"""From labelled rows to a classifier: split, fit the ladder, calibrate, choose, judge."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import SHIPPED, Arrays, Artifact, open_artifact
from classifier.calibration import Floats
from classifier.classifier import static_embedding
from classifier.data.rows import Objective, Row, labels, weights
from classifier.data.splits import duplicate_clusters, split_by_cluster
from classifier.errors import DataError
from classifier.familiarity import Policy
from classifier.headed import Headed
from classifier.judging.candidates import Candidate, Outcomes, advantage, baselines
from classifier.judging.metrics import area
from classifier.text import Conversation, flatten
from classifier.training.fit_calibration import fit_calibrator
from classifier.training.ladder import RUNGS, Fitted, Training, available, fit_rungs
from classifier.training.recipe import Recipe, recipe_for

Indices = NDArray[np.int64]

#: Train, calibrate and test. Few rows give the last two more, or their intervals say nothing.
SHARES, FEW_SHARES, FEW = (0.70, 0.15, 0.15), (0.5, 0.25, 0.25), 400
#: Fewer distinct prompts than this cannot be split three ways and judged.
LEAST_PROMPTS = 40
#: Bootstrap draws behind the standard error that the choice of rung allows for.
_DRAWS = 200


@dataclass(frozen=True)
class Options:
    """What the operator decides about a training run."""

    objective: Objective = "gain"
    budget: float = 0.05
    seed: int = 0
    rungs: Sequence[str] = RUNGS
    unfamiliar: Policy = "score"
    #: Conversations whose scores set the threshold; the held-out rows where None.
    traffic: Sequence[Conversation] | None = None
    #: Rows of families left out of ``rows``: with the calibration rows they choose the rung.
    unseen: Sequence[Row] = ()
    recipe: Recipe | None = None
    base: Path = SHIPPED
    progress: Callable[[str, float], None] = field(default=lambda _name, _done: None)


@dataclass(frozen=True)
class Prepared:
    """The rows in the form that models read, and the three parts of the split.

    Weak rows lie in ``fit_on`` alone, and only where nothing that judges resembles them.
    """

    rows: list[Row]
    texts: list[str]
    vectors: NDArray[np.float32]
    labels: Floats
    weights: Floats
    fit_on: Indices
    calibrate_on: Indices
    test_on: Indices
    base: Artifact

    def texts_at(self, index: Indices) -> list[str]:
        """Return the texts of some rows."""
        return [self.texts[i] for i in index]

    def outcomes(self, index: Indices, objective: Objective) -> Outcomes:
        """Return what happened on some rows; groups only where every row names one."""
        large = np.ones(len(index)) if objective == "fail" else self.labels[index, 1]
        names = [self.rows[i].group for i in index]
        groups = None if None in names else np.array([str(n) for n in names])
        return Outcomes(self.labels[index, 0], large, groups)


@dataclass(frozen=True)
class Trained:
    """The chosen rung and everything the artefact and the report say about it."""

    prepared: Prepared
    options: Options
    rungs: dict[str, Headed]
    files: dict[str, dict[str, bytes | Arrays]]
    chosen: str
    #: How far each rung lies behind the best where they are compared, in mean quality over all
    #: budgets, and the standard error of that difference; in order of cost.
    ladder: dict[str, tuple[float, float]]
    ours: Candidate
    baselines: list[Candidate]
    #: Our advantage over each baseline that promotion must beat: a 95% interval.
    advantage: dict[str, tuple[float, float]]

    @property
    def proven(self) -> bool:
        """Say whether ours beats the constant, the length rule and the group mean for sure."""
        return all(low > 0 for low, _ in self.advantage.values())

    @property
    def outcomes(self) -> Outcomes:
        """Return what happened on the test rows."""
        return self.prepared.outcomes(self.prepared.test_on, self.options.objective)


def train(rows: Sequence[Row], options: Options) -> Trained:
    """Return the best rung for these rows; raises ``DataError`` where they cannot teach."""
    _check(rows, options.objective)
    data = prepare(rows, options)
    fitted = list(_fit(data, options))
    rungs = {f.name: _calibrate(f, data, options.objective) for f in fitted}
    files = {f.name: f.files for f in fitted}
    chosen, ladder = choose(data, rungs, options)
    small, large = rungs[chosen].probabilities(
        data.texts_at(data.test_on), data.vectors[data.test_on]
    )
    ours = Candidate(chosen, large - small, small)
    test = data.outcomes(data.test_on, options.objective)
    others = baselines(
        (data.texts_at(data.test_on), test),
        (data.texts_at(data.fit_on), data.outcomes(data.fit_on, options.objective)),
        options.seed,
    )
    must_beat = [c for c in others if c.name in ("constant", "length", "group mean")]
    beaten = {c.name: advantage(ours, c, test) for c in must_beat}
    return Trained(data, options, rungs, files, chosen, ladder, ours, others, beaten)


def prepare(rows: Sequence[Row], options: Options) -> Prepared:
    """Return the rows as texts, vectors and labels, split by clusters of duplicates."""
    base = open_artifact(options.base)
    embedding = static_embedding(base)
    texts = [flatten(row.conversation) for row in rows]
    clusters = duplicate_clusters(texts)
    count = int(clusters.max()) + 1
    if count < LEAST_PROMPTS:
        raise DataError(f"{count} distinct prompts; at least {LEAST_PROMPTS} are needed to judge")
    shares = SHARES if count >= FEW else FEW_SHARES
    parts = split_by_cluster(clusters, shares, options.seed)
    fit_on, calibrate_on, test_on = _teach_only(parts, clusters, rows)
    vectors = np.stack([embedding.embed(t) for t in texts])
    return Prepared(
        list(rows),
        texts,
        vectors,
        labels(rows),
        weights(rows),
        fit_on,
        calibrate_on,
        test_on,
        base,
    )


def _teach_only(
    parts: Sequence[Indices], clusters: Indices, rows: Sequence[Row]
) -> tuple[Indices, Indices, Indices]:
    """Move weak rows into the first part; those that resemble a judging row are left out."""
    weak = np.array([row.weak for row in rows])
    _, calibrate_on, test_on = (part[~weak[part]] for part in parts)
    judged = np.isin(clusters, clusters[np.concatenate([calibrate_on, test_on])])
    return np.flatnonzero(~judged), calibrate_on, test_on


def _check(rows: Sequence[Row], objective: Objective) -> None:
    outcome = labels(rows)
    if objective == "gain" and np.isnan(outcome[:, 1]).any():
        missing = int(np.isnan(outcome[:, 1]).sum())
        raise DataError(
            f"{missing} of {len(rows)} rows have no `large`; add it or use --objective fail"
        )
    if np.ptp(outcome[:, 0]) == 0:
        raise DataError(f"`small` is {outcome[0, 0]} on every row; nothing can be learned from it")


def _fit(data: Prepared, options: Options) -> Iterator[Fitted]:
    names = available(len(data.fit_on), options.rungs)
    recipe = options.recipe or recipe_for(len(data.fit_on))
    training = Training(
        data.texts_at(data.fit_on),
        data.vectors[data.fit_on],
        data.labels[data.fit_on],
        data.weights[data.fit_on],
        data.base.read("tokenizer.json"),
        replace(recipe, seed=options.seed),
    )
    return fit_rungs(training, names, options.progress)


def _calibrate(fitted: Fitted, data: Prepared, objective: Objective) -> Headed:
    index = data.calibrate_on
    logits = fitted.rung.logits(data.texts_at(index), data.vectors[index]).astype(np.float64)
    small, large = (
        fit_calibrator(logits[:, head], data.labels[index, head], data.weights[index])
        for head in (0, 1)
    )
    return Headed(fitted.rung, (small, large), objective)


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
