"""The fast event loop against theory and SimPy, and SimPy against Erlang-C and Ciw."""

from __future__ import annotations

import math
from dataclasses import replace

import ciw
import numpy as np
import pytest

from autoscale.simulation.plant import Pool, Progress, run_until, waiting
from autoscale.simulation.simpy_reference import Reference
from autoscale.simulation.workload import Floats, Profile, Workload

MMC = Profile(slots=12, service_s=1.0)


def erlang_c(servers: int, load: float) -> float:
    """P(wait > 0) of M/M/c."""
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = load * blocking / (n + load * blocking)
    return blocking / (1.0 - load / servers * (1.0 - blocking))


def poisson_workload(rate_rps: float, end_s: float, seed: int = 1) -> Workload:
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.uniform(0.0, end_s, rng.poisson(rate_rps * end_s)))
    work = rng.exponential(1.0, len(arrival))
    return Workload(arrival, work, work * 40.0, end_s)


def fast_waits(
    workload: Workload, profile: Profile, changes: tuple[tuple[float, int], ...]
) -> Floats:
    requests, batch = waiting(workload.arrival_s, workload.work_s, workload.kv_tokens)
    progress = Progress()
    ends = [at for at, _ in changes[1:]] + [workload.end_s]
    for (_, replicas), end_s in zip(changes, ends, strict=True):
        slots, kv_tokens = replicas * profile.slots, replicas * profile.kv_tokens
        pool = Pool(slots, kv_tokens, profile.batch_slowdown, 1.0)
        progress = run_until(end_s, pool, requests, batch, progress)
    return np.asarray(np.minimum(requests.start_s, workload.end_s) - workload.arrival_s)


@pytest.mark.parametrize("load", [8.0, 10.0, 11.0])
def test_the_fast_loop_meets_erlang_c(load: float) -> None:
    workload = poisson_workload(load, 40_000.0)
    waits = fast_waits(workload, MMC, ((0.0, 1),))
    late = erlang_c(12, load) * math.exp(-(12 - load) * 0.5)
    assert (waits > 0).mean() == pytest.approx(erlang_c(12, load), rel=0.08)
    assert (waits > 0.5).mean() == pytest.approx(late, rel=0.12)


def test_simpy_and_the_fast_loop_agree_to_the_request_on_slots() -> None:
    workload = poisson_workload(20.0, 300.0)
    changes = ((0.0, 1), (100.0, 2), (200.0, 3))
    profile = replace(MMC, slots=10)
    slow = Reference(workload, profile, 1).run(changes[1:])
    np.testing.assert_allclose(fast_waits(workload, profile, changes), slow, atol=1e-6)


def test_one_replica_with_batch_slowdown_and_kv_limit_agrees_to_the_request() -> None:
    workload = poisson_workload(9.0, 300.0)
    profile = replace(MMC, batch_slowdown=0.6, kv_tokens=300.0)
    slow = Reference(workload, profile, 1).run()
    fast = fast_waits(workload, profile, ((0.0, 1),))
    assert (slow > 0).mean() > 0.05
    np.testing.assert_allclose(fast, slow, atol=1e-6)


def test_one_shared_speed_stands_for_balanced_replicas() -> None:
    """The fast loop's one approximation: replicas of unequal batches share a mean speed."""
    workload = poisson_workload(44.0, 1000.0)
    profile = replace(MMC, batch_slowdown=0.6)
    slow = Reference(workload, profile, 4).run()
    fast = fast_waits(workload, profile, ((0.0, 4),))
    assert (fast > 0).mean() == pytest.approx((slow > 0).mean(), rel=0.1)
    assert fast.mean() == pytest.approx(slow.mean(), rel=0.1)


def test_simpy_agrees_with_ciw_as_an_independent_simulator() -> None:
    ciw.seed(3)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(10.0)],
        service_distributions=[ciw.dists.Exponential(1.0)],
        number_of_servers=[12],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(1500.0)
    theirs = np.array([record.waiting_time for record in simulation.get_all_records()])
    ours = Reference(poisson_workload(10.0, 1500.0), MMC, 1).run()
    assert (ours > 1e-9).mean() == pytest.approx((theirs > 1e-9).mean(), abs=0.06)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.06)


def test_a_request_larger_than_the_kv_cache_still_runs_alone() -> None:
    workload = Workload(np.array([0.0, 0.1]), np.array([1.0, 1.0]), np.array([500.0, 1.0]), 10.0)
    waits = fast_waits(workload, replace(MMC, kv_tokens=100.0), ((0.0, 1),))
    assert waits.tolist() == pytest.approx([0.0, 0.9])
