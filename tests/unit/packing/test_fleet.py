"""Different models land on the fewest GPUs, checked against every placement of small cases."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscale.packing.fleet import EXACT_ITEMS, Item, pack_fleet, shares


def items(*sizes: int) -> list[Item]:
    return [Item(f"m{index}", size) for index, size in enumerate(sizes)]


def fewest(sizes: list[int], capacity: int) -> int:
    """Every assignment tried: the optimum of at most six items."""
    best = len(sizes)
    for places in itertools.product(range(len(sizes)), repeat=len(sizes)):
        loads = [0] * len(sizes)
        for place, size in zip(places, sizes, strict=True):
            loads[place] += size
        if max(loads) <= capacity:
            best = min(best, sum(load > 0 for load in loads))
    return best


@given(st.lists(st.integers(1, 10), min_size=1, max_size=6))
def test_small_fleets_are_optimal(sizes: list[int]) -> None:
    plan = pack_fleet(items(*sizes), 10)
    assert plan.optimal and plan.optimum_gap == 0
    assert len(plan.gpus) == fewest(sizes, 10)


def test_a_case_where_first_fit_decreasing_needs_one_more() -> None:
    # First fit: (44, 17) (24, 24, 8) (22, 21, 8, 6) (6); but all fit on three.
    sizes = [44, 24, 24, 22, 21, 17, 8, 8, 6, 6]
    plan = pack_fleet(items(*sizes), 61)
    assert plan.optimal and len(plan.gpus) == 3


def test_gpus_are_filled_to_the_last_byte() -> None:
    # First fit: (4, 4) (3, 3, 3) (3); but 4 + 3 + 3 fills a GPU of 10.
    plan = pack_fleet(items(4, 4, 3, 3, 3, 3), 10)
    assert plan.optimal and len(plan.gpus) == 2


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_every_replica_is_placed_once_and_no_gpu_is_over_full(sizes: list[int]) -> None:
    plan = pack_fleet(items(*sizes), 100)
    placed = [item for gpu in plan.gpus for item in gpu]
    assert sorted(placed) == sorted(items(*sizes))
    assert all(sum(item.needed_bytes for item in gpu) <= 100 for gpu in plan.gpus)
    assert plan.lower_bound <= len(plan.gpus)
    assert plan.optimal or plan.optimum_gap > 0


@given(st.lists(st.integers(1, 100), min_size=1, max_size=9))
def test_shares_of_a_gpu_never_exceed_it(sizes: list[int]) -> None:
    for gpu in pack_fleet(items(*sizes), 100).gpus:
        assert sum(round(share * 10_000) for share in shares(gpu, 100)) <= 10_000


def test_a_replica_larger_than_a_gpu_is_named() -> None:
    with pytest.raises(ValueError, match=r"m1 alone needs 1\.00 GiB more"):
        pack_fleet(items(1, 3 << 30), 2 << 30)


def test_a_large_fleet_says_how_far_from_the_optimum_it_may_be() -> None:
    # 14 items of 4 in GPUs of 10: two each, 7 GPUs; by volume 6 might do.
    plan = pack_fleet(items(*[4] * (EXACT_ITEMS + 2)), 10)
    assert (len(plan.gpus), plan.lower_bound, plan.optimal) == (7, 6, False)
    assert plan.optimum_gap == 1
