"""From labelled rows to a classifier: split, fit the ladder, calibrate, choose, judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from classifier.artifact import Arrays
from classifier.data.rows import Objective, Row, labels, weights
from classifier.errors import DataError
from classifier.headed import Headed, Rung
from classifier.judging.candidates import Candidate, Outcomes, advantage, baselines
from classifier.training.choose import choose
from classifier.training.cross_fit import cross_fitted
from classifier.training.fit_calibration import fit_calibrator
from classifier.training.ladder import FEW_TO_CHOOSE, available, fit_rungs
from classifier.training.prepare import Indices, Options, Prepared, prepare, training_on
from classifier.training.recipe import Recipe, recipe_for


@dataclass(frozen=True)
class Trained:
    """The chosen rung and everything the artefact and the report say about it."""

    prepared: Prepared
    options: Options
    #: As they ship: calibrated on all held-out rows. Everything that judges them, here and in the
    #: report, was found with calibrators that the test rows had no part in.
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
    names, recipe = available(len(data.fit_on), options.rungs), _recipe(data, options)
    training = training_on(data, data.fit_on, recipe)
    fitted = list(fit_rungs(training, names, options.progress))
    on_calibration, on_held_out = (
        {f.name: calibrated(f.rung, data, index, options.objective) for f in fitted}
        for index in (data.calibrate_on, data.held_out)
    )
    files = {f.name: f.files for f in fitted}
    crossed = None
    if len(names) > 1 and len(data.fit_on) < FEW_TO_CHOOSE and not options.unseen:
        crossed = cross_fitted(
            data, names, options.objective, recipe, lambda name, _: options.progress(name, 1.0)
        )
    chosen, ladder = choose(data, on_calibration, options, crossed)
    small, large = on_calibration[chosen].probabilities(
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
    return Trained(data, options, on_held_out, files, chosen, ladder, ours, others, beaten)


def _check(rows: Sequence[Row], objective: Objective) -> None:
    outcome = labels(rows)
    if objective == "gain" and np.isnan(outcome[:, 1]).any():
        missing = int(np.isnan(outcome[:, 1]).sum())
        raise DataError(
            f"{missing} of {len(rows)} rows have no `large`; add it or use --objective fail"
        )
    taught = outcome[weights(rows) > 0, 0]
    if not len(taught):
        raise DataError("`weight` is 0 on every row; nothing can be learned from them")
    if np.ptp(taught) == 0:
        raise DataError(f"`small` is {taught[0]} on every row; nothing can be learned from it")


def _recipe(data: Prepared, options: Options) -> Recipe:
    return replace(options.recipe or recipe_for(len(data.fit_on)), seed=options.seed)


def calibrated(rung: Rung, data: Prepared, index: Indices, objective: Objective) -> Headed:
    """Return the rung with a calibrator a head, fitted on rows that the rung never saw."""
    logits = rung.logits(data.texts_at(index), data.vectors[index]).astype(np.float64)
    small, large = (
        fit_calibrator(logits[:, head], data.labels[index, head], data.weights[index])
        for head in (0, 1)
    )
    return Headed(rung, (small, large), objective)
