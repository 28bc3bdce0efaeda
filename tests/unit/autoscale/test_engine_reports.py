"""Counters of replicas that come, go, are late or silent: sums that neither jump nor fall."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from autoscale.engine_reports import EngineReports


def counted(reports: EngineReports, time_s: float, **counts: float) -> float:
    """Completions in all, with as many replicas running as speak or should."""
    return reports.completed(counts, 2, time_s)


def test_the_first_sight_of_a_replica_is_a_baseline() -> None:
    """A controller that restarts sees one replica after the other, each with all its past."""
    reports = EngineReports()
    assert counted(reports, 0.0, a=200_000.0) == 0.0
    assert counted(reports, 1.0, a=200_010.0, b=50_000.0) == 10.0
    assert counted(reports, 2.0, a=200_012.0, b=50_003.0) == 15.0


def test_completions_survive_replicas_that_come_go_and_restart() -> None:
    reports = EngineReports()
    counted(reports, 0.0, a=100.0, b=5.0)
    assert counted(reports, 1.0, a=104.0, b=9.0) == 8.0
    # b is silent for two ticks: four a second stand for it; its return is a baseline.
    assert counted(reports, 2.0, a=108.0) == 16.0
    assert counted(reports, 3.0, a=112.0, b=float("nan")) == 24.0
    assert counted(reports, 4.0, a=116.0, b=40.0) == 32.0
    # a's engine was restarted; then a is gone for good.
    assert counted(reports, 5.0, a=1.0, b=44.0) == 36.0
    assert reports.completed({"b": 47.0}, 1, 6.0) == 39.0


def test_a_report_that_comes_late_is_counted_once() -> None:
    reports = EngineReports()
    counted(reports, 0.0, a=1000.0, b=1000.0)
    assert counted(reports, 1.0, a=1010.0, b=1010.0) == 20.0
    assert counted(reports, 2.0, a=1001.0, b=1020.0) == 30.0  # of a second ago
    assert counted(reports, 3.0, a=1020.0, b=1030.0) == 50.0


def test_a_count_that_begins_anew_is_counted_from_there() -> None:
    """Far below the highest, but not near zero: nobody waits until it is reached again."""
    reports = EngineReports()
    counted(reports, 0.0, a=216_000.0, b=216_000.0)
    assert counted(reports, 1.0, a=216_002.0, b=216_002.0) == 4.0
    assert counted(reports, 2.0, a=200_000.0, b=216_004.0) == 6.0
    assert counted(reports, 3.0, a=200_002.0, b=216_006.0) == 10.0


def test_what_stands_for_silent_replicas_is_a_mean_and_not_the_chance_of_a_second() -> None:
    """Five of six are silent: the one that speaks does 0, 2 or 4 a second, twice in the mean."""
    chance, reports, a = random.Random(1), EngineReports(), 0.0
    everyone = dict.fromkeys("abcdef", 0.0)
    for second in range(60):
        reports.completed(dict.fromkeys(everyone, 2.0 * second), 6, float(second))
    a, before, steps = 118.0, reports.completed(dict.fromkeys(everyone, 118.0), 6, 59.0), []
    for second in range(60, 90):
        a += chance.choice((0.0, 2.0, 4.0))
        after = reports.completed({"a": a}, 6, float(second))
        steps.append(after - before)
        before = after
    assert min(steps) > 6.0 and max(steps) < 18.0
    assert sum(steps) / len(steps) == pytest.approx(12.0, rel=0.15)


def test_a_gap_lets_nobody_stand_in() -> None:
    reports = EngineReports()
    counted(reports, 0.0, a=0.0, b=0.0)
    assert counted(reports, 1.0, a=5.0, b=5.0) == 10.0
    assert counted(reports, 1000.0, a=6.0) == 11.0


def test_a_silent_replica_is_taken_for_an_average_one() -> None:
    reports = EngineReports()
    counted(reports, 0.0, a=1.0, b=1.0)
    assert reports.whole({"a": 4.0}, 2, 1.0) == 8.0
    assert reports.whole({"a": 4.0}, 1, 1.0) == 4.0  # one runs: b has gone
    assert reports.whole({"a": 4.0}, 2, 100.0) == 4.0  # nobody remembers b
    assert reports.whole({"a": 4.0, "c": 0.0}, 2, 1.0) == 4.0
    assert reports.whole({}, 2, 1.0) is None


@pytest.mark.parametrize("broken", [math.nan, math.inf, -1.0, None])
def test_a_replica_whose_number_is_none_counts_as_a_silent_one(broken: Any) -> None:
    reports = EngineReports()
    reports.completed({"a": 1.0, "b": 1.0, "c": 1.0}, 3, 0.0)
    assert reports.whole({"a": 4.0, "b": 4.0, "c": broken}, 3, 1.0) == 12.0
