"""The command line: JSON fields, tables, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoscale.cli import app
from autoscale.core import decide
from autoscale.journal import as_line
from autoscale.observation import Observation
from autoscale.parameters import Parameters

RUNNER = CliRunner()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    rates = (4, 8, 14, 6, 5, 9, 13, 6)
    path = tmp_path / "traffic.csv"
    rows = [f"{600 * index},{rate}" for index, rate in enumerate(rates)]
    path.write_text("\n".join(["timestamp,rate_rps", *rows]), encoding="utf-8")
    return path


def test_simulate_prints_the_promised_fields(trace: Path) -> None:
    result = RUNNER.invoke(
        app, ["simulate", "--trace", str(trace), "--policy", "smallfirst,kpa", "--json"]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["policy"] for row in rows] == ["smallfirst", "kpa"]
    promised = {
        "policy",
        "trace",
        "attainment",
        "attainment_ci",
        "gpu_hours",
        "gpu_hours_ci",
        "reversals",
        "wait_p50_s",
        "wait_p99_s",
    }
    assert all(promised <= set(row) for row in rows)
    assert rows[0]["attainment_ci"][0] <= rows[0]["attainment"] <= rows[0]["attainment_ci"][1]


def test_simulate_prints_a_table_for_people(trace: Path) -> None:
    result = RUNNER.invoke(app, ["simulate", "--trace", str(trace), "--policy", "keda"])
    assert result.exit_code == 0, result.output
    assert "in SLO %" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "hpa"], "unknown policy 'hpa'; known are smallfirst"),
        (["--start-hours", "40"], "no request from hour 40 on; the trace is "),
        (["--profile", "missing.json"], "missing.json: no such file"),
        (["--scale", "1e9"], "--scale 1e+09 is too much to simulate; at most"),
    ],
)
def test_simulate_answers_mistakes_in_one_line(
    trace: Path, arguments: list[str], message: str
) -> None:
    result = RUNNER.invoke(app, ["simulate", "--trace", str(trace), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_huge_traffic_is_thinned_and_said(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoscale.cli.MOST_SIMULATED", 3900.0)  # of some 39,000 requests
    arguments = ["simulate", "--trace", str(trace), "--policy", "kpa,kpa", "--seeds", "1", "--json"]
    result = RUNNER.invoke(app, arguments)
    (row,) = json.loads(result.stdout)
    assert row["scale"] == pytest.approx(0.1)
    assert row["requests"] == pytest.approx(3900, rel=0.1)
    assert "0.1 of the traffic is simulated" in " ".join(result.stderr.split())
    (row,) = json.loads(RUNNER.invoke(app, [*arguments, "--scale", "1"]).stdout)
    assert row["requests"] == pytest.approx(39_000, rel=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '{"slots": "many"}',
        '{"slots": 0}',
        '{"slots": 1.5}',
        '{"startup_s": -1}',
        '{"startup_s": true}',
        '{"batch_slowdown": 1}',
        '{"decode_tokens_per_s": 0}',
        '{"colocation_curve": 3}',
        '{"slots": 1' + "0" * 400 + "}",
        '{"startup_s": NaN}',
        '{"startup_s": 1' + "0" * 400 + "}",
        '{"colocation_curve": [1' + "0" * 400 + "]}",
        "9" * 5_000,
        "[" * 9_999,
    ],
    ids=lambda text: text[:30],
)
def test_a_profile_without_sense_is_refused(trace: Path, tmp_path: Path, text: str) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(text, encoding="utf-8")
    result = RUNNER.invoke(app, ["simulate", "--trace", str(trace), "--profile", str(profile)])
    assert result.exit_code == 2
    assert "profile.json" in result.stderr
    assert "Traceback" not in result.output


def test_an_unknown_profile_key_is_named(trace: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"slot": 4}', encoding="utf-8")
    result = RUNNER.invoke(
        app, ["simulate", "--trace", str(trace), "--profile", str(profile), "--policy", "keda"]
    )
    assert result.exit_code == 2
    assert "unknown key 'slot'" in result.stderr


def test_recommend_prints_a_patch_that_the_policy_accepts(trace: Path, tmp_path: Path) -> None:
    import yaml

    plot = tmp_path / "frontier.png"
    result = RUNNER.invoke(app, ["recommend", "--trace", str(trace), "--plot", str(plot), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["met"]
    patch = yaml.safe_load(answer["patch"])
    Parameters.from_kwargs(patch["small"]["scaling"]["policy_kwargs"])
    assert patch["small"]["scaling"]["min_replicas"] == answer["min_replicas"]
    assert plot.read_bytes()[:4] == b"\x89PNG"


def test_recommend_refuses_a_plot_without_a_folder_before_it_simulates(trace: Path) -> None:
    result = RUNNER.invoke(app, ["recommend", "--trace", str(trace), "--plot", "nowhere/x.png"])
    assert result.exit_code == 2
    assert "--plot nowhere/x.png: no such folder" in result.stderr


@pytest.mark.parametrize("sources", [[], ["--trace", "a", "--ledger", "b"]])
def test_recommend_wants_exactly_one_source(sources: list[str]) -> None:
    result = RUNNER.invoke(app, ["recommend", *sources])
    assert result.exit_code == 2
    assert "exactly one of" in result.stderr


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "small.jsonl"
    state, lines = None, []
    for second in range(120):
        seen = Observation(1e9 + second, 12.0, 2.0, 3, 3, 1, 9, 1.0, 10.0, 0.2, 2.0 * second, 3)
        decision = decide(seen, Parameters(), state)
        lines.append(as_line("Small", seen, state, decision, Parameters()))
        state = decision.state
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_explain_why_not_and_replay_read_the_journal(journal: Path) -> None:
    told = RUNNER.invoke(app, ["explain", "--journal", str(journal), "--at", "2001-09-09T01:47:30"])
    assert told.exit_code == 0, told.output
    assert "2001-09-09 01:47:30 UTC" in told.stdout
    assert "Bound by" in told.stdout
    asked = RUNNER.invoke(app, ["why-not", "1", "--journal", str(journal)])
    assert "Why not 1 instead of 3:" in asked.stdout
    replayed = RUNNER.invoke(app, ["replay", "--journal", str(journal)])
    assert "120 decisions replayed, all identical" in replayed.stdout


def test_replay_fails_on_a_tampered_line(journal: Path) -> None:
    lines = journal.read_text(encoding="utf-8").splitlines()
    lines[5] = lines[5].replace('"replicas":3', '"replicas":7')
    journal.write_text("\n".join(lines), encoding="utf-8")
    result = RUNNER.invoke(app, ["replay", "--journal", str(journal)])
    assert result.exit_code == 2
    assert "1 of 120 differ, the first in line 6" in result.stderr


def test_an_unreadable_time_is_answered(journal: Path) -> None:
    result = RUNNER.invoke(app, ["explain", "--journal", str(journal), "--at", "noon"])
    assert result.exit_code == 2
    assert "write Unix seconds or" in result.stderr
