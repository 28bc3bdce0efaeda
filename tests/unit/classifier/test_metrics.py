"""The figures a router is judged by, against values worked out by hand or by another library."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from classifier.calibration import Floats
from classifier.judging.metrics import accuracy_at, auroc, curve, ece, interval, within_group_auroc

SMALL = np.array([1.0, 0.0, 0.0, 1.0] * 250)
LARGE = np.array([1.0, 1.0, 0.0, 1.0] * 250)


def test_a_random_score_recovers_half_the_gap() -> None:
    rng = np.random.default_rng(0)
    draws = [curve(rng.random(1_000), SMALL, LARGE).apgr for _ in range(40)]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.02)


def test_the_oracle_recovers_the_gap_with_the_calls_that_help() -> None:
    found = curve(LARGE - SMALL + np.linspace(0, 1e-6, 1_000), SMALL, LARGE)
    # A quarter of the prompts gains; ten points of 10% reach it between 20 and 30%.
    assert found.cpt(0.8) == pytest.approx(20.0, abs=0.5)
    assert found.apgr > 0.85


def test_the_reversed_oracle_is_as_far_below_random() -> None:
    found = curve(SMALL - LARGE + np.linspace(0, 1e-6, 1_000), SMALL, LARGE)
    assert found.apgr < 0.15


def test_a_constant_score_is_the_straight_line() -> None:
    assert curve(np.zeros(1_000), SMALL, LARGE).apgr == pytest.approx(0.5)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_quality_at_a_share_averages_ties(share: float) -> None:
    expected = SMALL.mean() + share * (LARGE - SMALL).mean()
    assert accuracy_at(np.zeros(1_000), SMALL, LARGE, share) == pytest.approx(expected)


def test_quality_at_a_share_takes_the_highest_scores_first() -> None:
    assert accuracy_at(LARGE - SMALL, SMALL, LARGE, 0.25) == pytest.approx(LARGE.mean())


def test_auroc_counts_ties_half_as_mann_whitney_does() -> None:
    rng = np.random.default_rng(1)
    scores: Floats = np.floor(rng.random(300) * 10)
    positive = rng.random(300) < 0.3
    u = mannwhitneyu(scores[positive], scores[~positive]).statistic
    pairs = positive.sum() * (~positive).sum()
    assert auroc(scores, positive) == pytest.approx(u / pairs)


def test_one_class_has_no_auroc() -> None:
    assert np.isnan(auroc(np.array([0.0, 1.0, 2.0]), np.ones(3, bool)))


def test_within_groups_a_score_that_only_knows_the_group_is_blind() -> None:
    groups = np.repeat(["a", "b"], 100)
    positive = np.r_[np.arange(100) < 80, np.arange(100) < 20]
    by_group: Floats = np.where(groups == "a", 1.0, 0.0)
    assert auroc(by_group, positive) == pytest.approx(0.8)
    assert within_group_auroc(by_group, positive, groups) == pytest.approx(0.5)


def test_calibration_error_is_the_mean_gap() -> None:
    assert ece(np.full(100, 0.7), np.r_[np.ones(70), np.zeros(30)], bins=1) == pytest.approx(0.0)
    assert ece(np.full(100, 0.9), np.r_[np.ones(70), np.zeros(30)], bins=1) == pytest.approx(0.2)


def test_the_interval_holds_the_mean_and_narrows_with_rows() -> None:
    values = np.random.default_rng(2).random(400)
    low, high = interval(lambda i: float(values[i].mean()), 400)
    few_low, few_high = interval(lambda i: float(values[i % 40].mean()), 40)
    assert low < values.mean() < high
    assert few_high - few_low > high - low
