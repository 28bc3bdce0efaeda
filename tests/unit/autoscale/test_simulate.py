"""The simulated fleet, the rivals and the recommendation on small workloads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ray.serve import autoscaling_policy as ray_policy

from autoscale.simulation.arrivals import Cut, make_workload
from autoscale.simulation.compare import (
    POLICIES,
    Job,
    Knobs,
    check_policies,
    interval,
    summarise_all,
)
from autoscale.simulation.days import split
from autoscale.simulation.parallel import run_all
from autoscale.simulation.ray_rival import RayRival, RaySettings
from autoscale.simulation.recommend import TUNE_TICK_S, Objective, recommend
from autoscale.simulation.rivals import StaticPeak
from autoscale.simulation.search import HOLDS_S, LATE_FRACTIONS, cheapest
from autoscale.simulation.simulate import Fleet, History, Limits, Tick, reversals, simulate
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.traces import RateTrace, TraceError
from autoscale.simulation.workload import Profile, Workload, longest_left_s

PROFILE = Profile(slots=8, service_s=3.0, startup_s=30.0, replicas_per_gpu=2)
LIMITS = Limits(max_replicas=60)


def steps(*rates: float) -> RateTrace:
    """A trace of 10-minute steps."""
    count = len(rates)
    return RateTrace(
        "steps",
        np.arange(count, dtype=np.float64) * 600.0,
        np.array(rates, dtype=np.float64),
        np.ones(count),
        np.zeros(count),
        600.0,
        clock_s=1e9,
    )


@pytest.fixture(scope="module")
def workload() -> Workload:
    return make_workload(steps(5, 5, 15, 30, 30, 10, 5), Cut(), PROFILE, seed=1)


def test_starting_replicas_join_after_their_start_up_and_are_cancelled_first() -> None:
    fleet = Fleet(replace(PROFILE, startup_cv=0.0), running=4, seed=1, drain_s=3.0)
    fleet.scale(0.0, 10)
    fleet.step(29.0)
    assert (fleet.running, fleet.target, fleet.held()) == (4, 10, 10)
    fleet.scale(29.0, 6)
    assert (fleet.running, fleet.target, fleet.cancelled) == (4, 6, 4)
    fleet.step(30.0)
    assert fleet.running == 6
    fleet.scale(40.0, 2)
    assert (fleet.running, fleet.held()) == (2, 6)
    fleet.step(43.1)
    assert fleet.held() == 2


def test_a_lone_replica_on_a_gpu_is_faster_by_the_colocation_curve() -> None:
    profile = replace(PROFILE, colocation_curve=(1.0, 1.6))
    assert Fleet(profile, 2, 1, 3.0).pool().full_speed == pytest.approx(1.0)
    assert Fleet(profile, 1, 1, 3.0).pool().full_speed == pytest.approx(1.25)


def test_a_replica_drains_until_its_longest_request_is_done() -> None:
    rng = np.random.default_rng(1)
    assert longest_left_s(np.full(1000, 6.0), 5) == pytest.approx(6.0, rel=0.2)
    expected = 6.0 * np.log(17.0)  # of exponential work what is left is exponential
    assert longest_left_s(rng.exponential(6.0, 200_000), 16) == pytest.approx(expected, rel=0.03)
    assert longest_left_s(np.empty(0), 16) == 0.0


def test_reversals_count_changes_of_direction() -> None:
    assert reversals(np.array([2, 2, 4, 4, 6, 4, 4, 2, 4])) == 2


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_scales_a_hill_up_and_down(workload: Workload, name: str) -> None:
    job = Job(name, Cut(), PROFILE, LIMITS, 1)
    run = simulate((name, POLICIES[name](job, workload)), workload, PROFILE, LIMITS, 1)
    assert run.attainment > 0.5
    if name != "static-peak":
        assert run.targets[2600] > 1.5 * run.targets[900]
        assert run.targets[-1] < run.targets.max()


def test_ours_is_cheaper_than_rays_default_and_the_oracle_is_cheapest(workload: Workload) -> None:
    hours = {}
    for name in ("smallfirst", "ray-default", "clairvoyant"):
        job = Job(name, Cut(), PROFILE, LIMITS, 1)
        run = simulate((name, POLICIES[name](job, workload)), workload, PROFILE, LIMITS, 1)
        hours[name] = run.gpu_hours
    assert hours["clairvoyant"] < hours["smallfirst"] < hours["ray-default"]


def tick(total: float, time_s: float, history: History) -> Tick:
    history.in_system[history.ticks] = total
    history.ticks += 1
    return Tick(time_s, 2, 2, history, LIMITS)


def test_rays_own_code_answers_a_step_after_its_own_delays() -> None:
    """The contract with Ray's private names: 30 s delay, 10 s pushes, no wall clock read."""
    rival = RayRival(RaySettings(target_ongoing_requests=5.6))
    history = History(np.zeros(400), np.zeros(400), np.zeros(400))
    answers = [rival(tick(10.0 if s < 100 else 100.0, 1e9 + s, history)) for s in range(200)]
    first = next(s for s, replicas in enumerate(answers) if replicas > 2)
    assert 130 <= first <= 150
    assert rival.decide.__wrapped__ is ray_policy.default_autoscaling_policy


def test_unknown_policies_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown policy 'hpa'; known are smallfirst, ray-default"):
        check_policies(["kpa", "hpa"])


def test_parallel_runs_equal_serial_ones_and_seeds_give_an_interval() -> None:
    trace = steps(5, 10)
    jobs = [Job("smallfirst", Cut(), PROFILE, LIMITS, seed) for seed in (1, 2, 3)]
    together = summarise_all(list(run_all(trace, jobs)))[0]
    alone = [run for job in jobs for _, run in run_all(trace, [job])]
    assert together.gpu_hours == pytest.approx(np.mean([run.gpu_hours for run in alone]))
    assert together.attainment_ci[0] <= together.attainment <= together.attainment_ci[1]
    assert together.seeds == (1, 2, 3)


def test_the_interval_is_students() -> None:
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)
    assert interval([4.0]) == (4.0, 4.0)


def test_a_recommendation_meets_the_objective_and_reports_its_regret() -> None:
    trace = steps(4, 8, 14, 6, 5, 9, 13, 6)
    seen: list[tuple[int, int]] = []
    result = recommend(
        trace, split(trace, 1.0), PROFILE, Objective(0.99), lambda *at: seen.append(at)
    )
    assert result.met
    assert result.verdict.startswith("met: ")
    assert result.held_out.attainment > 0.98
    assert 2 <= result.min_replicas < result.max_replicas <= 60
    assert 0.0 <= result.regret < 0.5
    assert {s.knobs["late_fraction"] for s in result.frontier} == set(LATE_FRACTIONS)
    assert [name for name, _ in result.sensitivity][-1] == "3x spike, 10 min"
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("goal", [0.9, 0.99, 0.999])
def test_the_search_finds_what_all_settings_would(goal: float) -> None:
    trace = steps(4, 8, 14, 6, 5, 9, 13, 6)
    parts, limits = split(trace, 1.0), Limits(tick_s=TUNE_TICK_S)
    base = Job("smallfirst", parts.train, PROFILE, limits, seed=1)
    grid: list[Knobs] = [
        {"late_fraction": late, "hold_down_s": hold} for late in LATE_FRACTIONS for hold in HOLDS_S
    ]
    best = cheapest(list(run_all(trace, [replace(base, knobs=knobs) for knobs in grid])), goal)
    result = recommend(trace, parts, PROFILE, Objective(goal), lambda *_: None)
    assert best[1].attainment >= goal
    assert result.knobs == best[0].knobs


def test_an_impossible_objective_is_answered_and_names_what_binds() -> None:
    trace = steps(1, 90, 1, 90)
    profile = replace(PROFILE, startup_s=300.0)
    result = recommend(trace, split(trace, 1.0), profile, Objective(0.99999, 0.0), lambda *_: None)
    assert not result.met
    assert result.verdict.startswith("cannot be met: at best ")
    assert "starts in 300 s" in result.verdict


def test_a_trace_too_short_to_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("timestamp,rate_rps\n0,1\n60,1\n", encoding="utf-8")
    with pytest.raises(TraceError, match="need at least 600 s"):
        split(read_trace(path), 1.0)


def test_the_cheapest_that_attains_wins_else_the_best() -> None:
    class Fake:
        def __init__(self, attainment: float, gpu_hours: float) -> None:
            self.attainment, self.gpu_hours = attainment, gpu_hours

    job = Job("smallfirst", Cut(), PROFILE, LIMITS, 1)
    pairs = [(job, Fake(*pair)) for pair in ((0.98, 1.0), (0.995, 3.0), (0.992, 2.0))]
    assert cheapest(pairs, 0.99)[1].gpu_hours == 2.0  # type: ignore[arg-type]  # only two fields
    assert cheapest(pairs, 0.999)[1].gpu_hours == 3.0  # type: ignore[arg-type]  # only two fields


def test_the_handover_keeps_a_slot_idle_between_two_requests() -> None:
    arrival_s = np.linspace(0.0, 599.5, 1200)  # 2 requests a second for 2 slots of 1 s each
    load = Workload(arrival_s, np.ones(1200), np.zeros(1200), 600.0)
    profile = Profile(slots=2, replicas_per_gpu=1)
    limits = Limits(max_replicas=1, initial_replicas=1)
    alone = ("static-peak", StaticPeak(1))
    assert simulate(alone, load, profile, limits).wait_p50_s < 0.01
    slower = simulate(alone, load, replace(profile, handover_s=0.25), limits)
    # 2 slots of 1.25 s serve 1.6 a second, so one that comes at t waits t / 4, or till the end.
    assert slower.wait_p50_s == pytest.approx(60.0, rel=0.02)
