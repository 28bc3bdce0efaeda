"""A week is sized for its busiest days, whatever weekday it begins on, and the patch applies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from autoscale.simulation.arrivals import DAY_S, Cut, make_workload
from autoscale.simulation.compare import Job
from autoscale.simulation.days import split
from autoscale.simulation.parallel import run_all
from autoscale.simulation.recommend import Objective, Recommendation, recommend
from autoscale.simulation.recommend_output import patch_yaml
from autoscale.simulation.simulate import Limits
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.traces import RateTrace, RequestTrace, Trace
from autoscale.simulation.workload import Profile
from deployments.settings.app import AppConfig

SATURDAY_S = 1_715_385_600  # 2024-05-11 00:00 UTC
PROFILE = Profile(slots=2, service_s=6.0, startup_s=60.0, replicas_per_gpu=1)
# Requests a second at the peak of Saturday, Sunday, Monday to Friday.
PEAKS = (0.1, 0.1, 1.0, 1.2, 1.1, 0.9, 0.8)


# A day in the tests that simulate: what is learnt within one needs no more.
SHORT_S = 3600.0


def week(tmp_path: Path, peaks: tuple[float, ...] = PEAKS, day_s: float = DAY_S) -> Trace:
    """Rates by the 24th of a day: the peak from the 8th to the 20th, else a tenth of it."""
    rows = (
        f"{SATURDAY_S + day_s / 24 * hour},"
        f"{peaks[hour // 24] * (1.0 if 8 <= hour % 24 < 20 else 0.1)}\n"
        for hour in range(24 * len(peaks))
    )
    path = tmp_path / "week.csv"
    path.write_text("timestamp,rate_rps\n" + "".join(rows))
    return read_trace(path)


def test_the_two_busiest_days_tune_and_judge(tmp_path: Path) -> None:
    parts = split(week(tmp_path), 0.5)
    assert parts.held_out == Cut(3 * DAY_S, DAY_S, 0.5)  # Tuesday
    assert parts.train == Cut(4 * DAY_S, DAY_S, 0.5)  # Wednesday
    assert [cut.start_s / DAY_S for cut in parts.others] == [0, 1, 2, 5, 6]
    assert "judged on day 4 (Tue 2024-05-14 00:00 UTC on)" in parts.said


@pytest.mark.parametrize("stray_s", [20.0 * 3600, 3.5 * DAY_S])
def test_one_day_of_traffic_and_a_stray_request_tune_and_judge_on_the_traffic(
    tmp_path: Path, stray_s: float
) -> None:
    path = tmp_path / "stray.csv"
    rows = (f"{SATURDAY_S + at},1,1\n" for at in (*range(0, 18_000, 10), stray_s))
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(rows))
    trace = read_trace(path)
    parts = split(trace, 1.0)
    assert parts.train == Cut(0.0, 9_000.0, 1.0)
    assert parts.held_out == Cut(9_000.0, stray_s - 9_000.0, 1.0)
    assert len(make_workload(trace, parts.held_out, PROFILE, seed=1).arrival_s) == 900


def test_requests_are_counted_like_rates(tmp_path: Path) -> None:
    rows = []
    for day, count in enumerate((1, 50, 30)):
        rows += [f"{SATURDAY_S + DAY_S * day + 40_000 + i},1,1\n" for i in range(count)]
    rows.append(f"{SATURDAY_S + 3 * DAY_S + 50_000},1,1\n")
    path = tmp_path / "requests.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(rows))
    trace = read_trace(path)
    assert isinstance(trace, RequestTrace)
    parts = split(trace, 1.0)
    assert (parts.held_out.start_s, parts.train.start_s) == (DAY_S, 2 * DAY_S)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Recommendation]:
    trace = week(tmp_path_factory.mktemp("week"), PEAKS[:4], SHORT_S)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoscale.simulation.days.DAY_S", SHORT_S)
        parts = split(trace, 1.0)
    assert len(parts.others) == 2
    return trace, recommend(trace, parts, PROFILE, Objective(0.9, 10.0), lambda *_: None)


def test_the_bounds_carry_the_days_that_nobody_judged(
    result: tuple[Trace, Recommendation],
) -> None:
    trace, found = result
    assert found.max_replicas >= 5  # 1.2 requests/s of 6 s are 7.2 busy slots, two a replica
    limits = Limits(min_replicas=found.min_replicas, max_replicas=found.max_replicas, tick_s=4.0)
    limits = replace(limits, slo_wait_s=10.0)
    for day in range(4):
        cut = Cut(day * SHORT_S, SHORT_S)
        job = Job("smallfirst", cut, PROFILE, limits, seed=5, knobs=found.knobs)
        ((_, run),) = run_all(trace, [job])
        assert run.attainment > 0.8
    assert "bounds for all of them; worst day" in found.verdict


# Requests a second by the hour, of three days: the second highest tunes, the highest judges.
QUIET, FLAT, STEPS = (0.1,) * 24, (1.0,) * 24, (0.3, 6.0) * 12


@pytest.mark.parametrize(
    ("days", "goal", "word"),
    [
        ((QUIET, FLAT, STEPS), 0.99, "missed: "),
        ((QUIET, FLAT, STEPS), 0.3, "met: "),
        ((STEPS, QUIET, FLAT), 0.99, "missed: "),
        ((QUIET, FLAT, FLAT), 0.99, "met: "),
        ((QUIET, STEPS, STEPS), 0.9999, "cannot be met: "),
    ],
)
def test_a_goal_is_met_on_unseen_days_too_or_it_is_not(
    days: tuple[tuple[float, ...], ...], goal: float, word: str, tmp_path: Path
) -> None:
    rates = (rate for day in days for rate in day)
    path = tmp_path / "days.csv"
    rows = (f"{SATURDAY_S + SHORT_S / 24 * at},{rate}\n" for at, rate in enumerate(rates))
    path.write_text("timestamp,rate_rps\n" + "".join(rows))
    trace = read_trace(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoscale.simulation.days.DAY_S", SHORT_S)
        parts = split(trace, 1.0)
    found = recommend(trace, parts, PROFILE, Objective(goal, 2.0), lambda *_: None)
    assert found.verdict.startswith(word)
    assert found.met == (word == "met: ")
    assert found.held_out.attainment >= goal or not found.met
    assert f"unseen traffic: {found.held_out.attainment:.3%}" in found.verdict
    assert "; worst day " in found.verdict


def test_the_patch_is_one_that_the_application_accepts(
    result: tuple[Trace, Recommendation],
) -> None:
    profile = replace(PROFILE, replicas_per_gpu=3, colocation_curve=(1.0, 1.8, 2.5))
    patch = yaml.safe_load(patch_yaml(result[1], profile, 2.0))
    config = Path(__file__).parents[3] / "serve_config.yaml"
    settings = yaml.safe_load(config.read_text())["applications"][0]["args"]
    settings["small"] |= patch["small"]
    applied = AppConfig.model_validate(settings)
    assert applied.small.scaling.max_replicas == result[1].max_replicas
    assert applied.small.scaling.policy_kwargs["colocation_curve"] == [1.0, 1.8, 2.5]
    assert list(yaml.safe_load(patch_yaml(result[1], profile, 2.0, "large"))) == ["large"]


def test_recorded_requests_are_not_said_to_be_burstier(
    result: tuple[Trace, Recommendation], tmp_path: Path
) -> None:
    assert isinstance(result[0], RateTrace)
    assert "burstiness x2" in dict(result[1].sensitivity)
    path = tmp_path / "requests.csv"
    rows = "".join(f"{SATURDAY_S + 2 * i},500,100\n" for i in range(700))
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    trace = read_trace(path)
    found = recommend(trace, split(trace, 1.0), PROFILE, Objective(0.9, 10.0), lambda *_: None)
    assert "burstiness x2" not in dict(found.sensitivity)
    assert "traffic x2" in dict(found.sensitivity)
