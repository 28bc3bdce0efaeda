"""What the frontier bench says of days and seeds, and which finished runs it takes up again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoscale.simulation.arrivals import DAY_S, Cut
from autoscale.simulation.compare import Job, summarise
from autoscale.simulation.simulate import Limits, Run
from autoscale.simulation.traces import RateTrace
from autoscale.simulation.workload import Profile
from bench.autoscale import frontier
from bench.autoscale.equal_attainment import (
    at_targets,
    at_their_attainment,
    day_means,
    verdict,
)

JOB = Job("smallfirst", Cut(0.0, DAY_S), Profile(), Limits(), 1)
TRACE = RateTrace("flat", np.zeros(1), np.ones(1), np.ones(1), np.zeros(1), 600.0)
# GPU-hours of ours and of Ray's on three days; a seed moves both by little, a day by much.
OURS, RAY = {0: 42.4, 1: 100.2, 2: 106.2}, {0: 50.0, 1: 128.0, 2: 136.0}


def run(attainment: float, gpu_hours: float) -> Run:
    empty = np.empty(0)
    return Run(
        "p", "t", attainment, gpu_hours, 0.0, 0.0, 0.0, 0.0, 0, 0, 9, empty.astype(int), empty
    )


def judged() -> list[tuple[Job, Run]]:
    pairs = []
    for day in OURS:
        for seed in (1, 2, 3):
            cut, luck = replace(JOB.cut, start_s=day * DAY_S), 0.1 * (seed - 2)
            ours = replace(JOB, cut=cut, seed=seed)
            pairs.append((replace(ours, knobs={"late_fraction": 0.01}), run(0.999, OURS[day])))
            ray = replace(ours, policy="ray-default", knobs={"utilization": 0.7})
            pairs.append((ray, run(0.995, RAY[day] + luck)))
    return pairs


def test_an_interval_has_as_many_samples_as_days() -> None:
    row = at_their_attainment(judged())[0]
    assert row["compared"] == row["ours_reached"] == 9
    assert row["ratio_by_day"] == pytest.approx([0.848, 0.783, 0.781], abs=1e-3)
    # Student's t with two degrees of freedom; nine samples would say 0.78 to 0.83.
    assert row["ratio_ci"] == pytest.approx((0.71, 0.90), abs=0.01)
    assert at_targets(judged(), [0.99])["ray-default"]["0.99"]["ratio_ci"] == row["ratio_ci"]


def test_a_summary_averages_seeds_before_days() -> None:
    ray = [pair for pair in judged() if pair[0].policy == "ray-default"]
    summary = summarise(ray)
    assert summary.gpu_hours == pytest.approx(np.mean(list(RAY.values())))
    low, high = summary.gpu_hours_ci
    assert high - low > 200.0  # three days from 50 to 136
    assert summary.seeds == (1, 2, 3)
    one_day = summarise(ray[:3]).gpu_hours_ci
    assert one_day[1] - one_day[0] < 1.0  # of one day: the luck of its seeds


def test_days_that_do_not_decide_a_bar_leave_it_undecided() -> None:
    assert verdict([0.848, 0.783, 0.781], 0.80) == "undecided"
    assert verdict([0.70, 0.72, 0.74], 0.80) == "met"
    assert verdict([0.90, 0.92, 0.94], 0.80) == "missed"
    assert verdict([0.70], 0.80) == "one period: no interval"
    assert verdict([], 0.80) == "in no run, so undecided"


def test_seeds_of_a_day_are_one_value() -> None:
    assert day_means([((0.0, 1), 1.0), ((0.0, 2), 3.0), ((5.0, 1), 7.0)]) == [2.0, 7.0]


def test_finished_runs_are_taken_up_only_by_the_same_code_on_the_same_scale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[Job] = []

    def run_all(_: object, jobs: Sequence[Job]) -> Iterator[tuple[Job, Run]]:
        for job in jobs:
            ran.append(job)
            yield job, run(0.99, 1.0)

    monkeypatch.setattr(frontier, "RESULTS", tmp_path)
    monkeypatch.setattr(frontier, "run_all", run_all)
    monkeypatch.setattr(frontier, "_code", lambda: "one")
    other_scale = replace(JOB, cut=replace(JOB.cut, scale=2.0))
    other_profile = replace(JOB, profile=Profile(startup_s=30.0))
    for jobs, new in (([JOB], 1), ([JOB], 0), ([JOB, other_scale, other_profile], 2)):
        ran.clear()
        assert len(frontier.execute(TRACE, jobs, "x")) == len(jobs)
        assert len(ran) == new
    monkeypatch.setattr(frontier, "_code", lambda: "two")
    ran.clear()
    frontier.execute(TRACE, [JOB], "x")
    assert len(ran) == 1
