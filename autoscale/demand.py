"""Demand as a rate: arrivals in 5 s buckets, a forecast over the lead time, and its error.

Arrivals are not measured but conserved: arrived = completed + growth of the number in the system.
Pure: states go in and come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import mul

BUCKET_S = 5.0
"""Seconds a bucket: one long enough to hold tens of requests at 5 rps, short enough to react."""

LONG_BUCKETS = 120  # 600 s: the trend of a diurnal ramp stands out of Poisson noise at 5 rps
_LEVEL_BUCKETS = 24  # 120 s: level of the forecast
_CONFIRM_BUCKETS = 6  # 30 s: what a falling trend must agree with
_TREND_MAX = 0.5  # of the level: a steeper rise is a step, and surprise answers steps
_SHORT_BUCKETS = (1, 6)  # 5 s and 30 s: windows that may overrule the forecast upwards
_SURPRISE = 4.0  # standard deviations; 4 gives about 1 false alarm a day at 5 s buckets
_GROWTH = 2.0  # a surprise at most doubles the forecast, which itself follows within seconds
_GROWTH_FAST = 4.0  # the same where replicas start in half a minute or less
_SLOW_START_S = 60.0  # bursts are often over before such a start: 4 instead of 2 costs 4% there
_OPEN_MIN_S = 1.0  # an open bucket younger than this says nothing
_ERROR_MEMORY_S = 1800.0  # burstiness is remembered half an hour
_Z_PRIOR = 12  # judged buckets that weigh as much as the belief in Poisson arrivals: a minute
_SURGE_MEMORY_S = 86_400.0  # bursty clients come back: 4 h has half as many reversals again there
_Z_MIN, _Z_MAX = 1.0, 200.0
_Z_JUMP = 16.0  # a sample counts at most so many times the memory: one spike is no burstiness


@dataclass(frozen=True, slots=True)
class Demand:
    """What is remembered about arrivals. Rates in requests a second."""

    time_s: float
    in_system: float
    completed: float
    open_since_s: float
    open_arrivals: float = 0.0
    arrivals: tuple[float, ...] = ()
    """Arrivals in closed buckets, oldest first, at most LONG_BUCKETS."""
    plans_rps: tuple[float, ...] = ()
    """The forecast made at each bucket, to be judged when its time comes."""
    plan_rps: float = 0.0
    """Forecast for one lead time ahead, from closed buckets."""
    z: float = 1.0
    """Burstiness: upward forecast-error variance over the mean, in slots; 1 is Poisson."""
    judged: int = 0
    """Forecasts judged so far: the first half hour is averaged evenly, then it fades."""
    surges_rps: tuple[float, ...] = (0.0, 0.0)
    """The largest excess of bursts that came and went, in each of _SHORT_BUCKETS."""
    counted: float | None = None
    """The completion counter at the last tick that had one; `completed` also counts estimates."""
    settling_since_s: float | None = None
    """Since when the reports after a break are awaited; until then nothing is booked."""
    restored: bool = False
    """Read back after a restart: the next tick comes after a break, however soon."""
    odd_since_s: float | None = None
    """Since when the completion counter has claimed more than the replicas can do."""


def first_demand(
    time_s: float, in_system: float, completed: float, counted: float | None = None
) -> Demand:
    """The state before anything was seen."""
    return Demand(
        time_s,
        in_system,
        completed,
        open_since_s=time_s,
        counted=counted,
        settling_since_s=time_s,
    )


@dataclass(frozen=True, slots=True)
class Flow:
    """One tick's counters: time, requests in the system, completed in all."""

    time_s: float
    in_system: float
    completed: float


def advance(demand: Demand, flow: Flow, service_s: float, lead_s: float) -> Demand:
    """The state after one tick: arrivals booked, buckets closed, forecast renewed."""
    arrived = (flow.completed - demand.completed) + (flow.in_system - demand.in_system)
    booked_s, end_s = demand.time_s, demand.open_since_s + BUCKET_S
    rate_rps = arrived / (flow.time_s - booked_s) if flow.time_s > booked_s else 0.0
    while flow.time_s >= end_s:
        demand = _close_bucket(demand, rate_rps * (end_s - booked_s))
        demand = _judge(demand, service_s, lead_s)
        booked_s, end_s = end_s, end_s + BUCKET_S
    return replace(
        demand,
        time_s=flow.time_s,
        in_system=flow.in_system,
        completed=flow.completed,
        open_arrivals=demand.open_arrivals + rate_rps * (flow.time_s - booked_s),
    )


def _close_bucket(demand: Demand, arrived: float) -> Demand:
    """Close one bucket; what a negative bucket lacks (metrics lag) is owed by the next.

    A tick across the boundary is shared out by time: booking it whole would make steady traffic
    look bursty whenever ticks and buckets do not divide.
    """
    total = demand.open_arrivals + arrived
    closed = max(0.0, total)
    return replace(
        demand,
        open_since_s=demand.open_since_s + BUCKET_S,
        open_arrivals=total - closed,
        arrivals=(*demand.arrivals[1 - LONG_BUCKETS :], closed),
    )


def _judge(demand: Demand, service_s: float, lead_s: float) -> Demand:
    """Compare what came with what was forecast one lead time ago; forecast anew.

    The error is averaged over about one service time, because slots feel nothing faster. Only
    too-low forecasts count, twice: the upper half variance, so that a falling night does not look
    bursty. Forecasts from less than 120 s of arrivals are not judged: traffic that begins is not
    bursty either.
    """
    window = max(1, min(_LEVEL_BUCKETS, round(service_s / BUCKET_S)))
    ahead = max(1, math.ceil(lead_s / BUCKET_S))
    z, judged = demand.z, demand.judged
    known = len(demand.arrivals) >= min(LONG_BUCKETS, ahead + _LEVEL_BUCKETS)
    if known and len(demand.plans_rps) >= ahead:
        planned = demand.plans_rps[-ahead]
        came = sum(demand.arrivals[-window:]) / (window * BUCKET_S)
        missed = max(0.0, came - planned)
        sample = 2.0 * missed * missed * service_s / max(planned, 1.0 / BUCKET_S)
        judged += 1
        gain = max(BUCKET_S / _ERROR_MEMORY_S, 1.0 / (_Z_PRIOR + judged))
        z += (min(sample, _Z_MAX, _Z_JUMP * z) - z) * gain
    z = max(_Z_MIN, z)
    plan = forecast_rps(demand.arrivals, lead_s)
    surges = _surges(demand, plan)
    plans = (*demand.plans_rps, plan)[-ahead:]
    return replace(demand, z=z, judged=judged, surges_rps=surges, plan_rps=plan, plans_rps=plans)


def _surges(demand: Demand, plan_rps: float) -> tuple[float, ...]:
    """The largest excess of short windows that came and went, fading over hours.

    A window 120 s ago is compared with the forecast of now and with the level before it: a step,
    up or down, is in one of the two and leaves nothing; a burst is in neither. A burst no larger
    than an earlier one is no news, because replicas asked for it would start after it has ended.
    """
    faded = 1.0 - BUCKET_S / _SURGE_MEMORY_S
    past = demand.arrivals[:-_LEVEL_BUCKETS]
    surges = []
    for n, surge in zip(_SHORT_BUCKETS, demand.surges_rps, strict=True):
        if len(past) >= n:
            around = max(plan_rps, _level_rps(past[:-n]))
            surge = max(surge * faded, _level_rps(past[-n:]) - around)
        surges.append(surge)
    return tuple(surges)


def _level_rps(arrivals: tuple[float, ...]) -> float:
    """Mean rate of the last 120 s of buckets, or of all if there are fewer."""
    recent = arrivals[-_LEVEL_BUCKETS:]
    return sum(recent) / (len(recent) * BUCKET_S) if recent else 0.0


def forecast_rps(arrivals: tuple[float, ...], lead_s: float) -> float:
    """Expected rate one lead time after the last bucket: level of 120 s plus the 600 s trend.

    The trend is used only from a full 600 s on. It adds at most half the level, and takes away no
    more than the last 30 s confirm: after a step down the slope lives on when the fall has ended.
    """
    if not arrivals:
        return 0.0
    level = _level_rps(arrivals)
    if len(arrivals) < LONG_BUCKETS:
        return level
    slope = math.fsum(map(mul, _TREND_WEIGHTS, arrivals))
    change = slope * (lead_s + 0.5 * _LEVEL_BUCKETS * BUCKET_S)
    confirmed = sum(arrivals[-_CONFIRM_BUCKETS:]) / (_CONFIRM_BUCKETS * BUCKET_S) - level
    return level + max(min(0.0, confirmed), min(_TREND_MAX * level, change))


def planned_rps(demand: Demand, lead_s: float) -> float:
    """The rate to staff for: the rate seen, at most twice the forecast.

    Up to four times where replicas start fast: they still meet the burst that asked for them.
    """
    growth = _GROWTH * min(max(1.0, _SLOW_START_S / max(lead_s, 1.0)), _GROWTH_FAST / _GROWTH)
    return min(seen_rps(demand), growth * max(demand.plan_rps, 1.0))


def seen_rps(demand: Demand) -> float:
    """The rate of now: the forecast, unless the last seconds clearly exceed it."""
    plan = demand.plan_rps
    open_s = demand.time_s - demand.open_since_s
    windows = [
        (sum(demand.arrivals[-n:]) / (n * BUCKET_S), n * BUCKET_S, surge)
        for n, surge in zip(_SHORT_BUCKETS, demand.surges_rps, strict=True)
        if len(demand.arrivals) >= n
    ]
    if open_s >= _OPEN_MIN_S:
        windows.append((demand.open_arrivals / open_s, open_s, demand.surges_rps[0]))
    for rate, window_s, surge in windows:
        noise = _SURPRISE * math.sqrt(demand.z * max(plan, 1.0 / window_s) / window_s)
        if rate > demand.plan_rps + max(noise, surge):
            plan = max(plan, rate)
    return plan


def _trend_weights() -> tuple[float, ...]:
    """Weights of a least-squares slope (rps per second) over LONG_BUCKETS counts."""
    middle = (LONG_BUCKETS - 1) / 2.0
    total = sum((index - middle) ** 2 for index in range(LONG_BUCKETS))
    return tuple((i - middle) / (total * BUCKET_S * BUCKET_S) for i in range(LONG_BUCKETS))


_TREND_WEIGHTS = _trend_weights()
