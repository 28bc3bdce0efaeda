"""Our ledger as a trace: arrivals, the tier that is sized, answered requests, every replica."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autoscale.cli import app
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.trace_requests import TraceOptions
from autoscale.simulation.traces import RequestTrace, TraceError

START_S = 1_760_000_000.0


def line(arrival_s: float, total_s: float = 2.0, **more: Any) -> str:
    """One line as `deployments.accounting.ledger` writes it."""
    row = {
        "time_s": START_S + arrival_s + total_s,
        "request_id": "r",
        "tier": "small",
        "outcome": "ok",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_ms": total_s * 1e3,
    }
    return json.dumps(row | more) + "\n"


def read(path: Path, tier: str = "small") -> RequestTrace:
    trace = read_trace(path, TraceOptions(tier=tier))
    assert isinstance(trace, RequestTrace)
    return trace


def test_the_arrival_is_the_end_less_the_duration(tmp_path: Path) -> None:
    path = tmp_path / "ledger-a.jsonl"
    # A long request ends after two short ones that came later.
    path.write_text(line(5, 1) + line(7, 1) + line(0, 30, prompt_tokens=99))
    trace = read(path)
    assert trace.time_s.tolist() == pytest.approx([0, 5, 7])
    assert trace.prompt_tokens.tolist() == [99, 10, 10]
    assert trace.clock_s == pytest.approx(START_S)
    assert trace.notes == ()  # the order of ends is no disorder


def test_only_answered_requests_of_the_tier_count(tmp_path: Path) -> None:
    path = tmp_path / "ledger-a.jsonl"
    refused = line(2, tier=None, outcome="rate_limited", prompt_tokens=0, completion_tokens=0)
    large = line(3, tier="large") + line(8, tier="large")
    path.write_text(line(0) + line(1, outcome="cancelled") + refused + large + line(9))
    small = read(path)
    assert small.time_s.tolist() == pytest.approx([0, 9])
    assert small.notes == (
        "2 lines left out: not answered",
        "2 lines left out: of the tier large",
    )
    assert read(path, "large").time_s.tolist() == pytest.approx([0, 5])


def test_bad_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger-a.jsonl"
    torn = '{"time_s": 17600'
    bad = [torn, "[1]", line(1, total_ms=None).strip(), line(2, prompt_tokens="x").strip(), "null"]
    path.write_text(line(0) + "".join(f"{each}\n" for each in bad) + line(4) + torn)
    trace = read(path)
    assert trace.time_s.tolist() == pytest.approx([0, 4])
    assert trace.notes == ("6 bad lines left out, the first in line 2: not JSON",)


def test_a_ledger_without_such_requests_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "ledger-a.jsonl"
    path.write_text(line(0, tier="large"))
    with pytest.raises(TraceError, match="tier 'small': 1 lines left out: of the tier large"):
        read(path)


def test_a_folder_is_one_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "ledger-a.jsonl").write_text(line(0) + line(10) + line(11, tier="large"))
    (folder / "ledger-b.jsonl.gz").write_bytes(gzip.compress((line(5) + line(70)).encode()))
    (folder / "notes.txt").write_text("nothing")
    trace = read(folder)
    assert trace.time_s.tolist() == pytest.approx([0, 5, 10, 70])
    assert trace.clock_s == pytest.approx(START_S)
    assert trace.notes == (
        "ledger-a: 2 requests, 2025-10-09 08:53 to 2025-10-09 08:53 UTC",
        "ledger-a: 1 lines left out: of the tier large",
        "ledger-b: 2 requests, 2025-10-09 08:53 to 2025-10-09 08:54 UTC",
    )


def test_a_file_beside_its_compressed_copy_counts_once(tmp_path: Path) -> None:
    lines = (line(0) + line(1) + line(2)).encode()
    (tmp_path / "ledger-a.jsonl.1").write_bytes(lines)
    (tmp_path / "ledger-a.jsonl.1.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "ledger-a.jsonl.2.gz").write_bytes(gzip.compress(lines))
    assert len(read(tmp_path).time_s) == 6


def test_a_file_without_a_request_of_the_tier_does_not_stop_the_folder(tmp_path: Path) -> None:
    (tmp_path / "ledger-a.jsonl").write_text(line(0) + line(1))
    (tmp_path / "ledger-b.jsonl").write_text(line(2, tier="large"))
    (tmp_path / "ledger-c.jsonl").write_text("")
    trace = read(tmp_path)
    assert len(trace.time_s) == 2
    assert "ledger-b: no answered request of the tier 'small'" in " ".join(trace.notes)
    assert "ledger-c: the file is empty" in " ".join(trace.notes)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"without \.jsonl files"):
        read(tmp_path)
    (tmp_path / "ledger-a.jsonl").write_text(line(2, tier="large"))
    with pytest.raises(TraceError, match="tier 'small'"):
        read(tmp_path)


def test_a_table_of_the_ledger_counts_alike(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text(
        "time_s,tier,outcome,prompt_tokens,completion_tokens,total_ms\n"
        f"{START_S + 9},small,ok,10,5,9000\n{START_S + 4},large,ok,10,5,9000\n"
        f"{START_S + 5},small,ok,10,5,1000\n"
    )
    assert read(path).time_s.tolist() == pytest.approx([0, 4])


def test_recommend_takes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    for name, shift in (("a", 0.0), ("b", 1.0)):
        rows = "".join(line(2 * row + shift) for row in range(900))
        (folder / f"ledger-{name}.jsonl").write_text(rows)
    plot = tmp_path / "frontier.png"
    arguments = ["recommend", "--ledger", str(folder), "--plot", str(plot), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "ledger-a: 900 requests" in result.stderr
