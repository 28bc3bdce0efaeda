"""The shared GPU budget: rationing by load, minima kept, never a raise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autoscale.budget import Claim, SharedBudgetPolicy, share_gpus


def claim(wanted: int, load: float, low: int = 1, per_gpu: int = 4) -> Claim:
    return Claim(wanted, low, per_gpu, load, slots_per_replica=10)


def test_what_fits_is_granted_in_full() -> None:
    claims = {"small": claim(8, 60.0), "large": claim(4, 30.0)}
    assert share_gpus(claims, 3) == {"small": 8, "large": 4}


def test_a_short_budget_goes_to_the_tier_with_most_load_for_each_slot() -> None:
    claims = {"small": claim(16, 40.0), "large": claim(16, 200.0)}
    assert share_gpus(claims, 5) == {"small": 4, "large": 16}


def test_minima_stand_even_above_the_budget() -> None:
    assert share_gpus({"small": claim(9, 50.0, low=6), "large": claim(4, 9.0, low=4)}, 1) == {
        "small": 8,
        "large": 4,
    }


CLAIMS = st.builds(
    Claim,
    wanted=st.integers(0, 60),
    low=st.just(0),
    replicas_per_gpu=st.integers(1, 8),
    load_slots=st.floats(0, 1000),
    slots_per_replica=st.integers(1, 64),
)


@given(st.dictionaries(st.sampled_from("abcd"), CLAIMS, min_size=1), st.integers(0, 40))
def test_the_budget_is_never_exceeded_nor_left_while_someone_wants(
    claims: dict[str, Claim], budget: int
) -> None:
    shares = share_gpus(claims, budget)
    used = sum(claims[name].gpus(n) for name, n in shares.items())
    assert used <= budget
    assert used == min(budget, sum(c.gpus(c.wanted) for c in claims.values()))
    assert all(shares[name] <= claims[name].wanted for name in claims)


def context(name: str, requests: float, time_s: float) -> Any:
    return SimpleNamespace(
        deployment_name=name,
        current_num_replicas=1,
        target_num_replicas=1,
        total_num_requests=requests,
        total_queued_requests=requests / 2,
        aggregated_metrics={},
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=40,
        current_time=time_s,
    )


def test_the_policy_rations_two_flooded_tiers() -> None:
    tier = {"slots_per_replica": 4, "service_prior_s": 2.0}
    policy = SharedBudgetPolicy(gpu_budget=10, tiers={"Small": tier, "Large": tier})
    for second in range(20):
        ctxs = {
            "s": context("Small", 30.0 * second, 1000.0 + second),
            "l": context("Large", 90.0 * second, 1000.0 + second),
            "c": context("Classifier", 5.0, 1000.0 + second),
        }
        answers, _ = policy(ctxs)
    assert sum(answers.values()) == 10
    assert answers["l"] > answers["s"] >= 1
    assert "c" not in answers


def test_a_broken_context_holds_and_does_not_raise() -> None:
    policy = SharedBudgetPolicy(gpu_budget=0, tiers={"Small": None})
    assert policy({"x": object()}) == ({}, {})  # type: ignore[dict-item]  # broken on purpose
    assert policy({"s": context("Small", float("nan"), 1.0)})[0] == {"s": 1}
