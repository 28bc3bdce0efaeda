"""A budget set on a sample holds on traffic not yet seen, within the interval it prints."""

import numpy as np
import pytest

from classifier.errors import DataError
from classifier.threshold.budget import (
    effective_gain,
    predictive,
    prompts_needed,
    set_budget,
    share_for_cost,
    share_for_quality,
)


def test_the_realised_rate_of_fresh_traffic_lies_in_the_interval() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        budget = set_budget(rng.normal(0, 0.2, 1_000), 0.05)
        rate = (rng.normal(0, 0.2, 1_000) >= budget.gain).mean()
        inside += budget.interval[0] <= rate <= budget.interval[1]
    assert inside >= 194


def test_five_percent_from_80_prompts_is_refused_with_the_number_needed() -> None:
    with pytest.raises(DataError, match=r"80 prompts.*at least \d+ prompts"):
        set_budget(np.random.default_rng(0).normal(0, 0.2, 80), 0.05)


def test_the_number_needed_is_enough_and_not_ten_too_many() -> None:
    needed = prompts_needed(0.05, 0.03)

    def half_width(n: int) -> float:
        low, high = predictive(round(n * 0.05), n)
        return (high - low) / 2

    assert half_width(needed) <= 0.03
    assert half_width(needed - 60) > 0.03


@pytest.mark.parametrize(("policy", "counted"), [("small", -1.0), ("large", 1.0), ("score", 0.2)])
def test_the_policy_decides_how_a_stranger_counts(policy: str, counted: float) -> None:
    gain = effective_gain(np.array([0.2, 0.2]), np.array([0.01, 0.9]), policy)  # type: ignore[arg-type]
    assert gain.tolist() == [counted, 0.2]


def test_a_cost_is_a_share() -> None:
    assert share_for_cost(0.0049, 0.002, 0.06) == pytest.approx(0.05)
    assert share_for_cost(1.0, 0.002, 0.06) == 1.0
    with pytest.raises(DataError):
        share_for_cost(0.001, 0.002, 0.06)


def test_a_quality_is_the_least_share_that_reaches_it() -> None:
    gain = np.array([4.0, 3.0, 2.0, 1.0])
    small, large = np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4)
    assert share_for_quality(gain, small, large, 0.75) == 0.25
    assert share_for_quality(gain, small, large, 0.5) == 0.0
    with pytest.raises(DataError, match="the most"):
        share_for_quality(gain, small, np.zeros(4), 0.9)
