"""Traces in JSON: a Prometheus range answer, Mooncake lines, or the lines of our ledger."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from autoscale.simulation.traces import (
    RateTrace,
    Source,
    Trace,
    TraceError,
    rate_trace,
    request_trace,
)


def read_json(file: str, text: str) -> Trace:
    """The trace in a JSON file, told apart by its keys.

    Raises: TraceError with the line number and what is needed.
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = None
    if isinstance(whole, list) or (isinstance(whole, dict) and {"status", "data"} & set(whole)):
        return prometheus_trace(file, whole)
    lines: list[int] = []
    rows: list[tuple[float, float, float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = _request(json.loads(line))
        except json.JSONDecodeError as error:
            raise TraceError(f"{file}: line {number}: not JSON ({error.msg})") from None
        except (ValueError, KeyError, TypeError) as error:
            raise TraceError(
                f"{file}: line {number}: {type(error).__name__}: {error}; need time_s (or "
                "timestamp) with prompt_tokens and completion_tokens"
            ) from None
        lines.append(number)
        rows.append(row)
    times, prompts, completions = np.array(rows).T
    return request_trace(Source(file, lines), times, prompts, completions)


def _request(row: Any) -> tuple[float, float, float]:
    """Seconds, prompt and completion tokens; Mooncake counts milliseconds."""
    if not isinstance(row, dict):
        raise ValueError("not an object")
    if "input_length" in row:
        values = (row["timestamp"] / 1000.0, row["input_length"], row["output_length"])
    else:
        time_s = row["time_s"] if "time_s" in row else row["timestamp"]
        values = (time_s, row["prompt_tokens"], row["completion_tokens"])
    time_s, prompt, completion = (float(value) for value in values)
    if not all(math.isfinite(v) and v >= 0 for v in (time_s, prompt, completion)):
        raise ValueError("a value is negative or not finite")
    return time_s, prompt, completion


def prometheus_trace(file: str, answer: Any) -> RateTrace:
    """A `query_range` answer, or its list of series; their values are requests a second, added up.

    Raises: TraceError if it is an error, holds no sample or is not of that form.
    """
    if isinstance(answer, dict) and answer.get("status", "success") != "success":
        raise TraceError(f"{file}: Prometheus answered an error; check query and range")
    total: dict[float, float] = {}
    try:
        found = answer if isinstance(answer, list) else answer["data"].get("result", [])
        for series in found:
            for at, value in series["values"]:
                number = float(value)
                if math.isfinite(number):
                    total[float(at)] = total.get(float(at), 0.0) + number
    except (AttributeError, KeyError, TypeError, ValueError):
        raise TraceError(
            f"{file}: not a Prometheus range answer; need data.result[].values of [time, rate]"
        ) from None
    if not total:
        raise TraceError(f"{file}: the Prometheus answer holds no sample; check query and range")
    if min(total.values()) < 0.0:
        raise TraceError(f"{file}: a rate is negative; the query must give requests a second")
    times = np.array(sorted(total))
    lines = [1] * len(times)  # an answer is one line
    return rate_trace(Source(file, lines), times, np.array([total[at] for at in times]))
