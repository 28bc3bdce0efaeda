"""Which days of a trace to tune on, which to judge on, and which all the same must be carried.

The day with the highest peak judges, unseen; the second highest tunes. A week that begins on a
Saturday would otherwise be sized for its weekend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from autoscale.simulation.arrivals import DAY_S, Cut, trace_length_s
from autoscale.simulation.traces import RateTrace, Trace, TraceError

MIN_TRACE_S = 600.0
_PEAK_S = 600.0  # a peak shorter than this is a burst: every day has some
_SIDE_LEAST = 0.05  # of the traffic: a side with less neither tunes nor judges
_DUST_S = 3600.0  # a last day of less is left out


@dataclass(frozen=True, slots=True)
class Split:
    """Parts of the trace to tune on, to judge on, and the rest, for which the bounds must do."""

    train: Cut
    held_out: Cut
    others: tuple[Cut, ...] = ()
    said: str = "tuned on the first half, judged on the second"


def split(trace: Trace, scale: float) -> Split:
    """The two days with the highest peaks where two or more have traffic, else halves.

    Raises: TraceError if the trace is shorter than 10 minutes.
    """
    length_s = trace_length_s(trace)
    if length_s < MIN_TRACE_S:
        raise TraceError(f"{trace.name}: {length_s:.0f} s of traffic; need at least 600 s")
    whole = int(length_s // DAY_S)
    peaks = [_peak(trace, day) for day in range(whole)]
    if sum(peak > 0.0 for peak in peaks) < 2:
        half = _half_s(trace, length_s)
        return Split(Cut(0.0, half, scale), Cut(half, length_s - half, scale))
    order = sorted(range(whole), key=lambda day: -peaks[day])
    held_out, train = order[0], order[1]
    last = whole + (length_s - whole * DAY_S >= _DUST_S)
    others = [day for day in range(last) if day not in (train, held_out) and _peak(trace, day) > 0]
    return Split(
        Cut(train * DAY_S, DAY_S, scale),
        Cut(held_out * DAY_S, DAY_S, scale),
        tuple(Cut(day * DAY_S, DAY_S, scale) for day in others),
        f"tuned on {_named(trace, train)}, judged on {_named(trace, held_out)}, the two of "
        f"{last} days with the highest peaks; bounds for all of them",
    )


def _half_s(trace: Trace, length_s: float) -> float:
    """The middle of the trace; where one side of it has next to no traffic, half of the traffic."""
    weights = trace.rate_rps if isinstance(trace, RateTrace) else np.ones(len(trace.time_s))
    order = np.argsort(trace.time_s, kind="stable")
    times, so_far = trace.time_s[order], np.cumsum(weights[order])
    middle_s = length_s / 2.0
    before = float(weights[trace.time_s < middle_s].sum()) / max(float(so_far[-1]), 1e-9)
    if _SIDE_LEAST <= before <= 1.0 - _SIDE_LEAST:
        return middle_s
    return float(times[int(np.searchsorted(so_far, so_far[-1] / 2.0))])


def _peak(trace: Trace, day: int) -> float:
    """Requests of the fullest ten minutes of a day."""
    start_s = day * DAY_S
    weights = trace.rate_rps * trace.step_s if isinstance(trace, RateTrace) else None
    bins = math.ceil(DAY_S / max(_PEAK_S, getattr(trace, "step_s", 0.0)))
    counts, _ = np.histogram(
        trace.time_s, bins=bins, range=(start_s, start_s + DAY_S - 1e-6), weights=weights
    )
    return float(counts.max())


def _named(trace: Trace, day: int) -> str:
    if not trace.clock_s:
        return f"day {day + 1}"
    begun = datetime.fromtimestamp(trace.clock_s + day * DAY_S, UTC)
    return f"day {day + 1} ({begun:%a %Y-%m-%d %H:%M} UTC on)"
