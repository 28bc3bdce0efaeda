"""Probabilities stay in order, and the budget's threshold is exactly the operator's constant."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from classifier.calibration import Calibrator, fit_map, threshold_gain
from classifier.judging.metrics import ece
from classifier.score import THRESHOLD
from classifier.training.fit_calibration import BETA_ROWS, fit_calibrator

GAINS = hnp.arrays(
    np.float64, st.integers(20, 200), elements=st.floats(-0.999, 0.999, allow_subnormal=False)
)


@given(GAINS, st.floats(0.01, 0.9))
def test_the_realised_rate_stays_within_the_budget_ties_included(
    gains: np.ndarray, budget: float
) -> None:
    gains = np.round(gains, 3)
    complexity = fit_map(gains, budget).apply(gains)
    sent = int((complexity >= THRESHOLD).sum())
    assert sent <= budget * len(gains) + 1e-6
    if len(np.unique(gains)) == len(gains):
        assert sent >= np.floor(budget * len(gains) + 1e-9)


@given(GAINS, st.floats(0.01, 0.45), st.floats(0.01, 0.45))
def test_a_larger_budget_never_sends_fewer(gains: np.ndarray, one: float, more: float) -> None:
    assert threshold_gain(gains, one + more) <= threshold_gain(gains, one)


@given(GAINS, st.floats(0.01, 0.9))
def test_complexity_is_strictly_increasing_over_the_whole_range(
    gains: np.ndarray, budget: float
) -> None:
    found = fit_map(gains, budget)
    assert np.all(np.diff(found.gain) > 0)
    assert np.all(np.diff(found.complexity) > 0)
    assert found.apply(np.array([-1.0, 1.0])).tolist() == [0.0, 1.0]


def test_the_threshold_gain_maps_to_seven_tenths_exactly() -> None:
    gains = np.linspace(-0.3, 0.5, 1_001)
    assert fit_map(gains, 0.05).apply(np.array([threshold_gain(gains, 0.05)]))[0] == THRESHOLD


def test_constant_gains_send_nothing_rather_than_everything() -> None:
    gains = np.full(100, 0.2)
    assert not (fit_map(gains, 0.05).apply(gains) >= THRESHOLD).any()


def _overconfident(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.5, 1.0, rows)
    return 3.0 * logits, (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(float)


@pytest.mark.parametrize("rows", [200, BETA_ROWS + 500])
def test_calibration_mends_overconfident_logits(rows: int) -> None:
    logits, outcome = _overconfident(rows)
    fitted = fit_calibrator(logits, outcome, np.ones(rows))
    fresh_logits, fresh = _overconfident(20_000)
    raw = 1 / (1 + np.exp(-fresh_logits))
    assert ece(fitted.apply(fresh_logits), fresh) < 0.05 < ece(raw, fresh)


def _lopsided(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Too sure above a half, right below it: what one slope cannot mend."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0.0, 2.0, rows)
    true = np.where(logits > 0, 0.3 * logits, logits)
    return logits, (rng.random(rows) < 1 / (1 + np.exp(-true))).astype(float)


def test_many_rows_get_a_slope_for_each_tail() -> None:
    logits, outcome = _lopsided(4 * BETA_ROWS)
    both = fit_calibrator(logits, outcome, np.ones(4 * BETA_ROWS))
    one = fit_calibrator(logits[:900], outcome[:900], np.ones(900))
    assert one.slope == one.slope_above
    fresh_logits, fresh = _lopsided(20_000)
    assert ece(both.apply(fresh_logits), fresh) < ece(one.apply(fresh_logits), fresh) / 2


def test_calibration_never_ties_two_logits() -> None:
    fitted = fit_calibrator(*_overconfident(BETA_ROWS), np.ones(BETA_ROWS))
    assert np.all(np.diff(fitted.apply(np.linspace(-8, 8, 500))) > 0)


def test_unknown_labels_are_left_out() -> None:
    fitted = fit_calibrator(np.array([1.0, 2.0]), np.array([np.nan, np.nan]), np.ones(2))
    assert fitted == Calibrator(1.0, 0.0, 1.0)


def test_rows_without_weight_calibrate_nothing() -> None:
    logits, outcome = np.array([1.0, 2.0, -1.0]), np.array([1.0, 0.0, 0.0])
    assert fit_calibrator(logits, outcome, np.zeros(3)) == Calibrator(1.0, 0.0, 1.0)
