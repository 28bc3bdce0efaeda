"""The unit of a trace's times is decided from the data and said, or asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autoscale.cli import app
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.trace_requests import TraceOptions
from autoscale.simulation.trace_time import TimeUnit
from autoscale.simulation.traces import RequestTrace, TraceError

BAILIAN = {"chat_id": 159, "parent_chat_id": -1, "type": "text", "turn": 1, "hash_ids": [1]}
MOONCAKE = {"hash_ids": [46, 47]}
# Seconds from the first request; 6 requests a second.
ARRIVALS = np.round(np.cumsum(np.random.default_rng(7).exponential(1 / 6, 400)), 3) + 61.114
EPOCH_S = 1_716_000_000


def lines(
    tmp_path: Path, times: Any, more: dict[str, Any], tokens: tuple[str, str] = ("input", "output")
) -> Path:
    names = tuple(f"{part}_length" for part in tokens) if "input" in tokens else tokens
    path = tmp_path / "trace.jsonl"
    rows = ({"timestamp": time, names[0]: 500, names[1]: 100, **more} for time in times)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, unit: TimeUnit | None = None) -> RequestTrace:
    trace = read_trace(path, TraceOptions(unit))
    assert isinstance(trace, RequestTrace)
    return trace


def whole(factor: float, start: float = 0.0) -> list[int]:
    return [round((start + time - 61.114) * factor) for time in ARRIVALS]


READ: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "Bailian": (lambda: ARRIVALS.tolist(), BAILIAN, ""),
    "Bailian without its mark": (lambda: ARRIVALS.tolist(), MOONCAKE, "read as s"),
    "Mooncake": (lambda: whole(1e3), MOONCAKE, "read as ms"),
    "ms since 1970": (lambda: whole(1e3, EPOCH_S), MOONCAKE, ""),
    "s since 1970": (lambda: (EPOCH_S + ARRIVALS).tolist(), MOONCAKE, "read as s since 1970"),
    "us since 1970": (lambda: whole(1e6, EPOCH_S), BAILIAN, "read as us since 1970"),
    "ns since 1970": (lambda: whole(1e9, EPOCH_S), MOONCAKE, "read as ns since 1970"),
    "dates": (
        lambda: [f"2024-05-10T00:0{int(t // 60)}:{t % 60:06.3f}Z" for t in ARRIVALS], MOONCAKE, ""
    ),
}  # fmt: skip


@pytest.mark.parametrize(("times", "more", "said"), READ.values(), ids=READ)
def test_the_unit_is_decided_and_said(
    tmp_path: Path, times: Callable[[], Any], more: dict[str, Any], said: str
) -> None:
    trace = read(lines(tmp_path, times(), more))
    assert trace.time_s[-1] == pytest.approx(ARRIVALS[-1] - ARRIVALS[0], rel=1e-3)
    notes = " ".join(trace.notes)
    assert said in notes and bool(notes) == bool(said)


def test_few_fractions_are_seconds(tmp_path: Path) -> None:
    assert read(lines(tmp_path, [61.114, 500.5], MOONCAKE)).time_s[-1] == pytest.approx(439.386)


UNCLEAR = {
    "whole seconds in Mooncake's form": (lambda: whole(1.0), MOONCAKE),
    "us in Mooncake's form": (lambda: whole(1e6), MOONCAKE),
    "ms with fractions": (lambda: [t + 0.25 for t in whole(1e3)], MOONCAKE),
    "ms in Bailian's form": (lambda: whole(1e3), BAILIAN),
}


@pytest.mark.parametrize(("times", "more"), UNCLEAR.values(), ids=UNCLEAR)
def test_what_is_ambiguous_is_asked_for(
    tmp_path: Path, times: Callable[[], Any], more: dict[str, Any]
) -> None:
    path = lines(tmp_path, times(), more)
    with pytest.raises(TraceError, match=r"unclear.*--time-unit s, ms"):
        read(path)
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        expected = (max(times()) - min(times())) * factor
        assert read(path, unit).time_s[-1] == pytest.approx(expected)  # type: ignore[arg-type]


def test_tables_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    head = "Timestamp,Model,Request tokens,Response tokens\n"
    path.write_text(head + "".join(f"{time},GPT-4,500,100\n" for time in whole(1e3)))
    with pytest.raises(TraceError, match="--time-unit"):
        read(path)
    span = ARRIVALS[-1] - ARRIVALS[0]
    assert read(path, "ms").time_s[-1] == pytest.approx(span, rel=1e-3)
    path.write_text(head + "".join(f"{time},GPT-4,500,100\n" for time in whole(1.0)))
    assert read(path).time_s[-1] == pytest.approx(span, abs=1)


def test_rates_since_1970_are_read_in_any_unit(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    rows = (f"{(EPOCH_S + 600 * row) * 1000},2\n" for row in range(12))
    path.write_text("timestamp,rate_rps\n" + "".join(rows))
    trace = read_trace(path)
    assert trace.time_s[-1] == pytest.approx(6600)
    assert trace.clock_s == pytest.approx(EPOCH_S)


def test_the_flag_is_the_command_line_s(tmp_path: Path) -> None:
    path = lines(tmp_path, whole(1.0), MOONCAKE)
    arguments = ["simulate", "--trace", str(path), "--policy", "kpa", "--seeds", "1", "--json"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2 and "--time-unit" in refused.stderr
    done = CliRunner().invoke(app, [*arguments, "--time-unit", "s"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["requests"] == pytest.approx(len(ARRIVALS), rel=0.02)


def table(
    tmp_path: Path, times: list[object], header: str = "timestamp,prompt_tokens,completion_tokens"
) -> Path:
    path = tmp_path / "table.csv"
    more = ",10" * header.count(",")
    path.write_text(header + "\n" + "".join(f"{time}{more}\n" for time in times))
    return path


DAY = "2023-11-14T22:13:20Z"
MIXED: dict[str, tuple[list[object], int]] = {
    "every second": ([1.7e12, DAY, 1.7e12 + 1000, DAY], 3),
    "one date": ([0, 1000, 2000, DAY], 5),
    "one number": ([DAY, DAY, "20231114221320"], 4),
}


@pytest.mark.parametrize(("times", "line"), MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("unit", [None, "ms"])
def test_dates_among_numbers_are_refused(
    tmp_path: Path, times: list[object], line: int, unit: TimeUnit | None
) -> None:
    with pytest.raises(TraceError, match=f"line {line}: its time is a .*; write all of them alike"):
        read(table(tmp_path, times), unit)
    with pytest.raises(TraceError, match=f"line {line - 1}: its time is a "):
        read(lines(tmp_path, times, MOONCAKE), unit)


# Written without a sign between its parts, and a day of milliseconds in a column of seconds.
NO_UNIT: dict[str, list[int]] = {
    "yyyymmddhhmmss": [20240510000007 + second for second in range(20)],
    "yyyymmddhhmm": [202405100000 + minute for minute in range(20)],
    "s beside ms": [EPOCH_S, *(EPOCH_S * 1000 + ms for ms in range(20))],
    "0 beside ms": [0, *(EPOCH_S * 1000 + 1000 * s for s in range(20))],
}


@pytest.mark.parametrize("times", NO_UNIT.values(), ids=NO_UNIT)
@pytest.mark.parametrize(
    "header",
    [
        "timestamp,prompt_tokens,completion_tokens",
        "time_s,prompt_tokens,completion_tokens",
        "timestamp,rate_rps",
    ],
)
def test_times_beyond_every_unit_are_asked_for(
    tmp_path: Path, times: list[int], header: str
) -> None:
    path = table(tmp_path, list(times), header)
    with pytest.raises(TraceError, match=r"neither since 1970 .*--time-unit s, ms, us or ns"):
        read_trace(path)
    if "rate" not in header:
        assert read(path, "us").time_s[-1] == pytest.approx((times[-1] - times[0]) / 1e6, abs=1e-8)
