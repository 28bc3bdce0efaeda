"""Reads traffic traces of every usual format, told apart by their columns, into arrays.

Requests (`RequestTrace`) or rates (`RateTrace`) come out; `arrivals` makes workloads of either.
Bad rows are refused with file, line and mend; nothing is guessed silently.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from autoscale.workload import Floats

_GZIP_MAGIC = b"\x1f\x8b"


class TraceError(ValueError):
    """A trace cannot be used; the message names the file, the line and the mend."""


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """One entry a request, sorted. Tokens are NaN where the trace has none."""

    name: str
    time_s: Floats
    prompt_tokens: Floats
    completion_tokens: Floats
    clock_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateTrace:
    """Mean rates from `time_s[i]`, each lasting until the next time of the same client."""

    name: str
    time_s: Floats
    rate_rps: Floats
    cv: Floats
    client: Floats
    step_s: float
    clock_s: float = 0.0
    notes: tuple[str, ...] = ()


Trace = RequestTrace | RateTrace
Row = Mapping[str, str]


def read_trace(path: Path) -> Trace:
    """The trace in `path`, plain or gzip, with or without a byte-order mark.

    Raises: TraceError with the line number and what to change.
    """
    text = _read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise TraceError(f"{path.name}: the file is empty")
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    if first.lstrip().startswith("{"):
        return _read_json(name, text)
    rows = csv.DictReader(io.StringIO(text))
    columns = [column.strip() for column in rows.fieldnames or []]
    for needed, read in _CSV_FORMATS:
        if needed <= set(columns):
            return read(name, _Rows(name, rows))
    known = "; ".join(",".join(sorted(needed)) for needed, _ in _CSV_FORMATS)
    raise TraceError(f"{path.name}: line 1: columns {columns} fit no known format; need {known}")


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == _GZIP_MAGIC:
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except (OSError, EOFError) as error:
        raise TraceError(f"{path.name}: cannot be read ({error})") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{path.name}: not UTF-8 text at byte {error.start}") from None


class _Rows:
    """Rows with their line numbers; conversions that fail name the line and the column."""

    def __init__(self, name: str, rows: csv.DictReader[str]) -> None:
        self._name, self._rows = name, rows
        self.line = 1

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.line = self._rows.line_num
            yield {(key or "").strip(): value for key, value in row.items()}

    def refuse(self, why: str) -> TraceError:
        """The error for the current line."""
        return TraceError(f"{self._name}: line {self.line}: {why}")

    def number(self, row: Row, column: str) -> float:
        """A finite, non-negative number."""
        text = row.get(column)
        try:
            value = float(text) if text is not None else math.nan
        except (TypeError, ValueError):
            raise self.refuse(f"{column}={text!r} is not a number") from None
        if not math.isfinite(value) or value < 0.0:
            raise self.refuse(f"{column}={text!r} is missing, negative or not finite")
        return value

    def instant(self, row: Row, column: str) -> float:
        """Unix seconds from a number or an ISO date with up to nanoseconds."""
        text = (row.get(column) or "").strip()
        try:
            return float(text)
        except ValueError:
            pass
        try:
            whole, _, fraction = text.replace("T", " ").partition(".")
            fraction = fraction.removesuffix("Z").partition("+")[0]
            moment = datetime.fromisoformat(whole.removesuffix("Z").partition("+")[0])
        except ValueError:
            raise self.refuse(f"{column}={text!r} is not a time") from None
        return moment.replace(tzinfo=UTC).timestamp() + (
            float(f"0.{fraction}") if fraction else 0.0
        )


def _read_requests(time: str, prompt: str, completion: str) -> Callable[[str, _Rows], Trace]:
    def read(name: str, rows: _Rows) -> Trace:
        times, prompts, completions = [], [], []
        for row in rows:
            times.append(rows.instant(row, time))
            prompts.append(rows.number(row, prompt))
            completions.append(rows.number(row, completion))
        return _requests(name, np.array(times), np.array(prompts), np.array(completions))

    return read


def _requests(name: str, times: Floats, prompts: Floats, completions: Floats) -> RequestTrace:
    """Sorted and shifted to start at 0; unsorted and duplicate times are noted."""
    if not len(times):
        raise TraceError(f"{name}: the trace has a header but no request")
    notes = []
    if (np.diff(times) < 0).any():
        notes.append(f"{int((np.diff(times) < 0).sum())} timestamps were out of order: sorted")
    order = np.argsort(times, kind="stable")
    times = times[order]
    gaps = np.diff(times)
    if len(gaps) and gaps.max() > 3600.0 and gaps.max() > 100.0 * max(1e-9, float(gaps.mean())):
        notes.append(f"no request for {gaps.max() / 3600.0:.1f} h: simulated as silence")
    start_s = float(times[0])
    clock_s = start_s if start_s > 1e8 else 0.0
    return RequestTrace(
        name, times - start_s, prompts[order], completions[order], clock_s, tuple(notes)
    )


def _read_azure_rate(name: str, rows: _Rows) -> Trace:
    times, rates = [], []
    for row in rows:
        times.append(rows.number(row, "t_s"))
        rates.append(rows.number(row, "req_per_min_mid") / 60.0)
    return _rates(name, np.array(times), np.array(rates), None, None)


def _read_servegen(name: str, rows: _Rows) -> Trace:
    clients: dict[str, int] = {}
    times, rates, cvs, who = [], [], [], []
    for row in rows:
        times.append(rows.number(row, "t_s"))
        rates.append(rows.number(row, "rate_rps"))
        cvs.append(rows.number(row, "cv") if row.get("cv") else 1.0)
        who.append(clients.setdefault(str(row.get("client")), len(clients)))
    return _rates(name, np.array(times), np.array(rates), np.array(cvs), np.array(who, dtype=float))


def _read_prometheus_csv(name: str, rows: _Rows) -> Trace:
    times, rates = [], []
    for row in rows:
        times.append(rows.instant(row, "timestamp"))
        rates.append(rows.number(row, "rate_rps"))
    return _rates(name, np.array(times), np.array(rates), None, None)


def _rates(
    name: str, times: Floats, rates: Floats, cvs: Floats | None, clients: Floats | None
) -> RateTrace:
    if not len(times):
        raise TraceError(f"{name}: the trace has a header but no row")
    who = clients if clients is not None else np.zeros(len(times))
    keys = who * 1e12 + times
    if len(np.unique(keys)) < len(keys):
        order = np.argsort(keys, kind="stable")
        twice = int(np.nonzero(np.diff(keys[order]) == 0)[0][0])
        raise TraceError(
            f"{name}: line {int(order[twice + 1]) + 2}: time {times[order[twice + 1]]:g} appears "
            "twice for one client; keep one row"
        )
    order = np.argsort(keys, kind="stable")
    steps = np.diff(np.unique(times))
    step_s = float(np.median(steps)) if len(steps) else 60.0
    notes = []
    if len(steps) and steps.max() > 1.5 * step_s:
        notes.append(f"gap of {steps.max():g} s between rows {step_s:g} s apart: no traffic there")
    start_s = float(times.min())
    clock_s = start_s if start_s > 1e8 else 0.0
    return RateTrace(
        name,
        times[order] - start_s,
        rates[order],
        cvs[order] if cvs is not None else np.ones(len(times)),
        who[order],
        step_s,
        clock_s,
        tuple(notes),
    )


def _read_json(name: str, text: str) -> Trace:
    """A Prometheus range answer, Mooncake (ms) lines or our ledger (one JSON object a line)."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = None
    if isinstance(whole, dict) and "data" in whole:
        return prometheus_trace(name, whole)
    times, prompts, completions = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            time_s, prompt, completion = _json_request(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TraceError(
                f"{name}: line {number}: {type(error).__name__}: {error}; need time_s (or "
                "timestamp) with prompt_tokens and completion_tokens"
            ) from None
        times.append(time_s)
        prompts.append(prompt)
        completions.append(completion)
    return _requests(name, np.array(times), np.array(prompts), np.array(completions))


def _json_request(row: dict[str, float]) -> tuple[float, float, float]:
    if "input_length" in row:
        values = (row["timestamp"] / 1000.0, row["input_length"], row["output_length"])
    else:
        time_s = row["time_s"] if "time_s" in row else row["timestamp"]
        values = (time_s, row["prompt_tokens"], row["completion_tokens"])
    time_s, prompt, completion = (float(value) for value in values)
    if not all(math.isfinite(v) and v >= 0 for v in (time_s, prompt, completion)):
        raise ValueError("a value is negative or not finite")
    return time_s, prompt, completion


def prometheus_trace(
    name: str, answer: dict[str, dict[str, list[dict[str, list[list[str]]]]]]
) -> RateTrace:
    """A `query_range` answer whose series are requests a second; series are added up.

    Raises: TraceError if the answer holds no series.
    """
    total: dict[float, float] = {}
    for series in answer["data"].get("result", []):
        for at, value in series.get("values", []):
            number = float(value)
            if math.isfinite(number):
                total[float(at)] = total.get(float(at), 0.0) + number
    if not total:
        raise TraceError(f"{name}: the Prometheus answer holds no sample; check query and range")
    times = np.array(sorted(total))
    return _rates(name, times, np.array([total[at] for at in times]), None, None)


_CSV_FORMATS: tuple[tuple[frozenset[str], Callable[[str, _Rows], Trace]], ...] = (
    (
        frozenset({"TIMESTAMP", "ContextTokens", "GeneratedTokens"}),
        _read_requests("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    ),
    (
        frozenset({"Timestamp", "Request tokens", "Response tokens"}),
        _read_requests("Timestamp", "Request tokens", "Response tokens"),
    ),
    (
        frozenset({"time_s", "prompt_tokens", "completion_tokens"}),
        _read_requests("time_s", "prompt_tokens", "completion_tokens"),
    ),
    (frozenset({"t_s", "req_per_min_mid"}), _read_azure_rate),
    (frozenset({"t_s", "client", "rate_rps", "cv"}), _read_servegen),
    (frozenset({"timestamp", "rate_rps"}), _read_prometheus_csv),
)
