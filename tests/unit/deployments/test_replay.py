"""A ledger under another policy: what moves, what it would cost; the same policy moves nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from deployments.routing.replay import replay
from deployments.settings.escalation import Escalation

SMALL_NANO, LARGE_NANO = 100, 10_000


def line(at: int, score: float | None, **fields: Any) -> dict[str, Any]:
    tier = fields.get("tier", "small")
    nano = 100 * (LARGE_NANO if tier == "large" else SMALL_NANO)
    attempt = {"tier": tier, "prompt_tokens": 60, "completion_tokens": 40, "cost_nano_usd": nano}
    return {
        "request_id": f"r{at}",
        "arrived_s": float(at),
        "asked_model": "auto",
        "tier": tier,
        "cause": "classifier",
        "score": score,
        "prompt_tokens": 60,
        "completion_tokens": 40,
        "cost_usd": nano / 1e9,
        "attempts": [attempt],
        **fields,
    }


FIXED = Escalation(hold=False, max_rate=1.0)
LEDGER = [
    line(1, 0.2),
    line(2, 0.9, tier="large"),
    line(3, 0.6),
    line(4, None, tier="large", cause="client_hint"),
    line(5, 0.95, asked_model="small", cause="client_model"),
    line(6, 0.3, answer_score=1.0),
    line(7, 0.55, tier="large", cause="session"),
]


def test_the_same_policy_moves_nothing_that_it_decided() -> None:
    done = replay([x for x in LEDGER if x["request_id"] != "r6"], FIXED, 0.7)
    assert done.moved == []
    assert (done.requests, done.left_open, done.large, done.would_be_large) == (6, 4, 3, 3)
    assert done.would_cost_usd == pytest.approx(done.cost_usd)


def test_the_answer_to_a_sure_stream_was_not_held_and_moves_nothing() -> None:
    ledger = [line(1, 0.05, answer_score=1.0, stream=stream) for stream in (True, False)]
    assert [m.cause for m in replay(ledger, FIXED, 0.5).moved] == ["answer_check"]
    assert len(replay(ledger, FIXED, 0.5, sure_below=0.0).moved) == 2


def test_another_threshold_moves_what_it_must_and_prices_it() -> None:
    done = replay(LEDGER, FIXED, 0.5)
    assert [(m.request_id, m.would_be, m.cause) for m in done.moved] == [
        ("r3", "large", "classifier"),
        ("r6", "large", "answer_check"),
    ]
    more_nano = 2 * 100 * LARGE_NANO - 100 * SMALL_NANO
    assert done.would_cost_usd == pytest.approx(done.cost_usd + more_nano / 1e9)


def test_a_tier_that_answered_nothing_has_no_price_rather_than_none_to_pay(
    tmp_path: Path,
) -> None:
    ledger = [line(1, 0.2), line(2, 0.9)]
    done = replay(ledger, FIXED, 0.7)
    assert (done.would_be_large, done.would_cost_usd) == (1, None)
    assert replay(ledger, FIXED, 0.95).would_cost_usd == pytest.approx(done.cost_usd)
    file = tmp_path / "ledger.jsonl"
    file.write_text("\n".join(map(json.dumps, ledger)))
    asked = ["route", "replay", "--ledger", str(file), "--no-hold", "--max-rate", "1"]
    run = CliRunner().invoke
    assert "unknown" in run(app, asked).output
    assert json.loads(run(app, [*asked, "--json"]).output)["would_cost_usd"] is None


def test_a_target_is_held_in_a_replay_too() -> None:
    ledger = [line(at, 0.9) for at in range(3000)]
    done = replay(ledger, Escalation(target_rate=0.2), 0.7)
    assert abs(done.would_be_large / 3000 - 0.2) < 0.01


def test_the_command_reads_around_torn_lines_and_names_a_wrong_policy(tmp_path: Path) -> None:
    file = tmp_path / "ledger-a.jsonl"
    file.write_text("\n".join([*map(json.dumps, LEDGER), '{"torn', "[]"]))
    run = CliRunner().invoke
    for where in (file, tmp_path):
        asked = ["route", "replay", "--ledger", str(where), "--threshold", "0.5", "--json"]
        told = json.loads(run(app, asked).output)
        assert (told["requests"], told["unreadable_lines"]) == (7, 2)
    shown = run(app, ["route", "replay", "--ledger", str(file), "--no-hold"])
    assert "would move" in shown.output
    wrong = run(app, ["route", "replay", "--ledger", str(file), "--target-rate", "7"])
    assert wrong.exit_code != 0
    missing = run(app, ["route", "replay", "--ledger", str(tmp_path / "none.jsonl")])
    assert missing.exit_code != 0
    assert "No such file" in missing.output


@pytest.mark.parametrize(
    "odd",
    [
        {"arrived_s": "2026-01-01"},
        {"arrived_s": float("nan")},
        {"cost_usd": "x"},
        {"cost_usd": float("inf")},
        {"cost_usd": 1e308},
        {"prompt_tokens": "7"},
        {"completion_tokens": [1]},
        {"completion_tokens": 10**400},
        {"attempts": "x"},
        {"attempts": [1]},
        {"attempts": {"a": 1}},
        {"attempts": [{"tier": "small", "cost_nano_usd": "x"}]},
        {"tier": ["small"]},
        {"cause": ["classifier"]},
        {"asked_model": {}},
        {"score": float("nan")},
        {"score": float("inf")},
        {"score": True},
        {"score": 10**400},
        {"answer_score": float("inf")},
        {"answer_score": "0.5"},
        "[" * 100_000,
        "9" * 5000,
        "null",
        "",
    ],
    ids=lambda odd: str(odd)[:40],
)
def test_one_odd_line_is_counted_and_the_rest_is_replayed(tmp_path: Path, odd: Any) -> None:
    file = tmp_path / "ledger-a.jsonl"
    bad = odd if isinstance(odd, str) else json.dumps(line(9, 0.9) | odd)
    file.write_text("\n".join([bad, *map(json.dumps, LEDGER), bad, ""]), encoding="utf-8-sig")
    done = CliRunner().invoke(app, ["route", "replay", "--ledger", str(file), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["requests"], told["unreadable_lines"]) == (7, 2)


def test_a_request_is_shown_as_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text(json.dumps(line(1, 0.9, request_id="[/bold]")))
    done = CliRunner().invoke(app, ["route", "replay", "--ledger", str(file), "--no-hold"])
    assert done.exit_code == 0 and "[/bold]: small -> large" in done.output


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\0\xff\n", b"[]\n", b"\x1f\x8b\0"])
def test_what_holds_no_ledger_is_refused_with_the_mend(
    tmp_path: Path, content: bytes | None
) -> None:
    where = tmp_path
    if content is not None:
        where = tmp_path / "accounts.sqlite"
        where.write_bytes(content)
    done = CliRunner().invoke(app, ["route", "replay", "--ledger", str(where)])
    assert done.exit_code != 0
    assert "smallfirst ledger export" in " ".join(done.output.split())


def test_every_setting_of_the_policy_can_be_given(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text("\n".join(json.dumps(line(at, 0.9, stream=True)) for at in range(9)))
    run = CliRunner().invoke
    given = ["route", "replay", "--ledger", str(file), "--no-hold", "--max-rate", "0.05", "--json"]
    done = run(app, [*given, "--burst", "3", "--target-rate", "0.05"])
    assert json.loads(done.output)["would_be_large"] == 3
    done = run(app, [*given, "--min-threshold", "0.9", "--max-threshold", "0.8"])
    assert done.exit_code != 0 and "max_threshold is below min_threshold" in done.output
