"""Traffic as arrays: requests with their times and tokens, or rates that hold for a step.

`trace_files` reads them from files; `arrivals` makes workloads of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoscale.simulation.workload import Floats

_GAP_S = 3600.0  # silence worth a word in a request trace, if it is also 100 times the mean gap
_CLOCK_S = 1e8  # times beyond this are Unix seconds, below it seconds from a start


class TraceError(ValueError):
    """A trace cannot be used; the message names the file, the line and the mend."""


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """One entry a request, sorted."""

    name: str
    time_s: Floats
    prompt_tokens: Floats
    completion_tokens: Floats
    clock_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateTrace:
    """Mean rates from `time_s[i]`, each lasting `step_s`, sorted by client and time."""

    name: str
    time_s: Floats
    rate_rps: Floats
    cv: Floats
    client: Floats
    step_s: float
    clock_s: float = 0.0
    notes: tuple[str, ...] = ()


Trace = RequestTrace | RateTrace


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows came from, for messages: the file, and the line of each row."""

    file: str
    lines: Sequence[int]

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return self.file.removesuffix(".gz").rsplit(".", 1)[0]

    def refuse(self, row: int, why: str) -> TraceError:
        """The error for one row."""
        return TraceError(f"{self.file}: line {self.lines[row]}: {why}")


def request_trace(
    source: Source, times: Floats, prompts: Floats, completions: Floats
) -> RequestTrace:
    """Sorted and shifted to start at 0; times out of order and long silences are noted.

    Equal times are kept: clocks are coarse. Raises: TraceError if there is no request.
    """
    if not len(times):
        raise TraceError(f"{source.file}: the trace has a header but no request")
    notes = []
    steps = np.diff(times)
    if (steps < 0).any():
        line = source.lines[int(np.argmax(steps < 0)) + 1]
        count = int((steps < 0).sum())
        notes.append(f"{count} timestamps were out of order, the first in line {line}: sorted")
    order = np.argsort(times, kind="stable")
    times = times[order]
    gaps = np.diff(times)
    if len(gaps) and gaps.max() > max(_GAP_S, 100.0 * float(gaps.mean())):
        line = source.lines[int(order[int(gaps.argmax()) + 1])]
        notes.append(
            f"no request for {gaps.max() / 3600.0:.1f} h before line {line}: simulated as silence"
        )
    start_s = float(times[0])
    return RequestTrace(
        source.name,
        times - start_s,
        prompts[order],
        completions[order],
        start_s if start_s > _CLOCK_S else 0.0,
        tuple(notes),
    )


def rate_trace(
    source: Source,
    times: Floats,
    rates: Floats,
    cvs: Floats | None = None,
    clients: Floats | None = None,
) -> RateTrace:
    """Sorted by client and time and shifted to start at 0; disorder and gaps are noted.

    Raises: TraceError if there is no row, or if a client has two rates for one time.
    """
    if not len(times):
        raise TraceError(f"{source.file}: the trace has a header but no row")
    who = clients if clients is not None else np.zeros(len(times))
    order = np.lexsort((times, who))
    sorted_times, sorted_who = times[order], who[order]
    twice = np.nonzero((np.diff(sorted_times) == 0) & (np.diff(sorted_who) == 0))[0]
    if len(twice):
        row = int(order[int(twice[0]) + 1])
        raise source.refuse(row, f"time {times[row]:g} appears twice for one client; keep one row")
    unique = np.unique(times)
    steps = np.diff(unique)
    step_s = float(np.median(steps)) if len(steps) else 60.0
    start_s = float(unique[0])
    return RateTrace(
        source.name,
        sorted_times - start_s,
        rates[order],
        cvs[order] if cvs is not None else np.ones(len(times)),
        sorted_who,
        step_s,
        start_s if start_s > _CLOCK_S else 0.0,
        tuple(_rate_notes(source, (times, order, sorted_who), (unique, steps, step_s))),
    )


def _rate_notes(
    source: Source,
    rows: tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]], Floats],
    grid: tuple[Floats, Floats, float],
) -> list[str]:
    """What is odd about the times: rows of one client out of order, rows that are missing."""
    (times, order, sorted_who), (unique, steps, step_s) = rows, grid
    notes = []
    back = np.nonzero((np.diff(order) < 0) & (np.diff(sorted_who) == 0))[0]
    if len(back):
        line = source.lines[int(order[int(back[0])])]
        notes.append(f"times were out of order, the first near line {line}: sorted")
    if len(steps) and steps.max() > 1.5 * step_s:
        after = unique[int(steps.argmax()) + 1]
        line = source.lines[int(np.argmax(times == after))]
        notes.append(
            f"gap of {steps.max():g} s before line {line}, between rows {step_s:g} s apart: "
            "no traffic there"
        )
    return notes
