"""Traces in JSON: a Prometheus range answer, or lines of requests such as our ledger's."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from autoscale.simulation.trace_requests import NEED, BadRow, RequestRows, TraceOptions
from autoscale.simulation.traces import RateTrace, Source, Trace, TraceError, rate_trace


def read_json(file: str, text: str, options: TraceOptions) -> Trace:
    """The trace in a JSON file, told apart by its keys.

    A line that is no request is left out and counted: a writer that was killed leaves half a line.
    Raises: TraceError if no line is a request, with the first line and what is needed.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list) or (isinstance(whole, dict) and {"status", "data"} & set(whole)):
        return prometheus_trace(file, whole)
    rows = RequestRows(file, options)
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.add(number, _object(line))
            except BadRow as error:
                rows.bad.append((number, str(error)))
    return rows.trace()


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRow("not JSON") from None
    if not isinstance(row, dict):
        raise BadRow(f"not an object; {NEED}")
    return row


def prometheus_trace(file: str, answer: Any) -> RateTrace:
    """A `query_range` answer, or its list of series; their values are requests a second, added up.

    Raises: TraceError if it is an error, holds no sample or is not of that form.
    """
    if isinstance(answer, dict) and answer.get("status", "success") != "success":
        raise TraceError(f"{file}: Prometheus answered an error; check query and range")
    try:
        total = _summed(answer if isinstance(answer, list) else answer["data"].get("result", []))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
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


def _summed(found: list[Any]) -> dict[float, float]:
    """The rate at each time, over all series; a sample of NaN says nothing."""
    total: dict[float, float] = {}
    for series in found:
        for at, value in series["values"]:
            number, at_s = float(value), float(at)
            if not math.isfinite(at_s):
                raise ValueError("no time")
            if math.isfinite(number):
                total[at_s] = total.get(at_s, 0.0) + number
    return total
