"""Reads a week of request rates from a Prometheus server."""

from __future__ import annotations

import time

import httpx

from autoscale.simulation.trace_json import prometheus_trace
from autoscale.simulation.traces import RateTrace, TraceError

_WEEK_S = 7 * 86_400
_STEP_S = 60  # 10,080 points: below Prometheus' limit of 11,000 a series


def query_week(url: str, query: str, client: httpx.Client | None = None) -> RateTrace:
    """The rate trace of the last seven days.

    Raises: TraceError that says what the server answered.
    """
    end_s = time.time()
    params: dict[str, str | float] = {
        "query": query,
        "start": end_s - _WEEK_S,
        "end": end_s,
        "step": _STEP_S,
    }
    try:
        with client or httpx.Client(timeout=30.0, trust_env=False) as http:
            answer = http.get(f"{url.rstrip('/')}/api/v1/query_range", params=params)
        answer.raise_for_status()
        body = answer.json()
    except httpx.HTTPStatusError as error:
        raise TraceError(f"{url}: HTTP {error.response.status_code}; check --query") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise TraceError(f"{url}: no usable answer ({type(error).__name__})") from None
    if not isinstance(body, dict) or body.get("status") != "success":
        raise TraceError(f"{url}: the query failed; check --query")
    return prometheus_trace("prometheus", body)
