"""The share of escalations has a bound that no order of requests can break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.budget import Budget
from deployments.settings.escalation import Escalation


def escalations(config: Escalation, wants: list[bool]) -> int:
    """How many of these requests escalate; True wants to."""
    budget, spent = Budget(config), 0
    for wanted in wants:
        budget.earn()
        if wanted and budget.left:
            budget.spend()
            spent += 1
    return spent


@given(st.floats(0, 1), st.integers(1, 50), st.lists(st.booleans(), max_size=400))
def test_escalations_stay_under_burst_plus_rate(rate: float, burst: int, wants: list[bool]) -> None:
    spent = escalations(Escalation(target_rate=0.0, max_rate=rate, burst=burst), wants)
    assert spent <= burst + rate * len(wants) + 1e-6


@given(st.integers(1, 20), st.integers(0, 300), st.integers(1, 300))
def test_no_stretch_of_traffic_escalates_more_however_long_it_was_quiet(
    burst: int, quiet: int, busy: int
) -> None:
    spent = escalations(
        Escalation(target_rate=0.0, max_rate=0.1, burst=burst), [False] * quiet + [True] * busy
    )
    assert spent <= burst + 0.1 * busy + 1e-6


@pytest.mark.parametrize(
    ("rate", "burst", "requests", "expected"),
    [
        (0.1, 20, 0, 0),
        (0.1, 20, 20, 20),
        (0.1, 20, 21, 21),  # 20 to begin with, and what 21 requests earn on the way
        (0.1, 20, 1000, 119),  # the first earning finds a full bucket
        (0.1, 1, 100, 10),
        (1.0, 1, 500, 500),
        (0.0, 20, 500, 0),
    ],
)
def test_a_run_of_hard_requests_escalates_as_often_as_the_budget_says(
    rate: float, burst: int, requests: int, expected: int
) -> None:
    config = Escalation(target_rate=0.0, max_rate=rate, burst=burst)
    assert escalations(config, [True] * requests) == expected


def test_a_spent_budget_comes_back_with_traffic() -> None:
    budget = Budget(Escalation(target_rate=0.0, max_rate=0.1, burst=1))
    budget.spend()
    for _ in range(9):
        budget.earn()
    assert not budget.left
    budget.earn()
    assert budget.left


@given(st.floats(0.01, 1), st.integers(1, 50), st.integers(0, 300))
def test_credit_runs_at_most_the_burst_ahead(rate: float, burst: int, wants: int) -> None:
    budget, spent = Budget(Escalation(target_rate=0.0, max_rate=rate, burst=burst)), 0
    for _ in range(wants):
        budget.earn()
        if budget.credit:
            budget.spend()
            spent += 1
    assert spent <= 2 * burst + rate * wants + 1e-6


def test_a_budget_of_nothing_gives_no_credit() -> None:
    assert not Budget(Escalation(target_rate=0.0, max_rate=0.0)).credit
