"""Demand as rates: what was forecast, what arrives now, and what is staffed for.

Arrivals are not measured but conserved: arrived = completed + growth of the number in the system.
They are counted in buckets of 5 s. From the closed buckets comes the *forecast* for one lead time
ahead; the *arriving* rate is the forecast unless the last seconds clearly exceed it; the *staffed*
rate is the arriving one, at most a few times the forecast, and the only one that sizing turns into
slots. *Burstiness* is how far forecasts were exceeded before, and widens the margin over it.

One worked surprise. 20 requests a second for 15 minutes, 10 of them in the system, then 60:

>>> demand, done = first_demand(0.0, in_system=10.0, completed=0.0), 0.0
>>> for second in range(1, 904):
...     done += 20.0 if second <= 900 else 60.0
...     demand = advance(demand, Flow(float(second), 10.0, done), service_s=6.0, lead_s=90.0)

Three seconds of 60 are in the open bucket. A report may have come late, so one second's worth of
the forecast may be older: (180 - 20) / 3 s = 53 rps. Poisson arrivals at 20 rps would exceed 20 +
4 x sqrt(20 / 3 s) = 30.3 rps once a day; 53 is more, and no burst like it has come and gone before.
So 53 arrive; but a surprise at most doubles the forecast, so 40 are staffed for:

>>> demand.forecast_rps, demand.open_arrivals, demand.past_bursts_rps
(20.0, 180.0, (0.0, 0.0))
>>> round(arriving_rps(demand), 1), staffed_rps(demand, lead_s=90.0)
(53.3, 40.0)

At 6 s a request 40 rps keep 240 slots busy, and `autoscale.staffing.required_slots` adds the margin
for burstiness 1 (Poisson). Four seconds later the bucket is closed and the level begins to rise:

>>> for second in range(904, 908):
...     done += 60.0
...     demand = advance(demand, Flow(float(second), 10.0, done), service_s=6.0, lead_s=90.0)
>>> round(demand.forecast_rps, 1), round(staffed_rps(demand, lead_s=90.0), 1)
(22.2, 44.3)

Pure: states go in and come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from autoscale.forecast import BUCKET_S, LEVEL_BUCKETS, LONG_BUCKETS, forecast, level_rps, mean_rps

_BURST_BUCKETS = (1, 6)  # 5 s and 30 s: windows that may overrule the forecast upwards
_SURPRISE = 4.0  # standard deviations; 4 gives about 1 false alarm a day at 5 s buckets
_GROWTH = 2.0  # a surprise at most doubles the forecast, which itself follows within seconds
_GROWTH_FAST = 4.0  # the same where replicas start in half a minute or less
_SLOW_START_S = 60.0  # bursts are often over before such a start: 4 instead of 2 costs 4% there
_OPEN_MIN_S = 1.0  # an open bucket younger than this says nothing: metrics come each second
_LATE_S = 1.0  # a report may come late: the open bucket then holds so much of the time before
_ERROR_MEMORY_S = 1800.0  # burstiness is remembered half an hour: clients change by the hour
_BELIEF_FORECASTS = 12  # judged forecasts that weigh as much as the belief in Poisson: a minute
_BURST_MEMORY_S = 86_400.0  # bursty clients come back: 4 h has half as many reversals again there
_BURSTINESS_MIN = 1.0  # Poisson: traffic smoother than that is not to be counted on
_BURSTINESS_MAX = 200.0  # a sample beyond says that traffic began, not how bursty it is
_BURSTINESS_JUMP = 16.0  # a sample counts at most so many times the memory: one spike is none


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
    forecasts_rps: tuple[float, ...] = ()
    """The forecast made at each bucket, to be judged when its time comes."""
    forecast_rps: float = 0.0
    """For one lead time ahead, from closed buckets."""
    burstiness: float = _BURSTINESS_MIN
    """Upward forecast-error variance over the mean, in slots; 1 is Poisson."""
    judged_forecasts: int = 0
    """The first half hour of them is averaged evenly, then the memory fades."""
    past_bursts_rps: tuple[float, ...] = (0.0, 0.0)
    """The largest excess of bursts that came and went, in each of _BURST_BUCKETS."""
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
        demand = _renew_forecast(_judge_forecast(demand, service_s, lead_s), lead_s)
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


def _lead_buckets(lead_s: float) -> int:
    return max(1, math.ceil(lead_s / BUCKET_S))


def _judge_forecast(demand: Demand, service_s: float, lead_s: float) -> Demand:
    """Burstiness after comparing what came with what was forecast one lead time ago.

    The error is averaged over about one service time, because slots feel nothing faster. Only
    too-low forecasts count, twice: the upper half variance, so that a falling night does not look
    bursty. Forecasts from less than 120 s of arrivals are not judged: traffic that begins is not
    bursty either.
    """
    ahead = _lead_buckets(lead_s)
    window = max(1, min(LEVEL_BUCKETS, round(service_s / BUCKET_S)))
    known = len(demand.arrivals) >= min(LONG_BUCKETS, ahead + LEVEL_BUCKETS)
    if not known or len(demand.forecasts_rps) < ahead:
        return demand
    expected_rps = demand.forecasts_rps[-ahead]
    missed_rps = max(0.0, mean_rps(demand.arrivals[-window:]) - expected_rps)
    sample = 2.0 * missed_rps * missed_rps * service_s / max(expected_rps, 1.0 / BUCKET_S)
    judged = demand.judged_forecasts + 1
    gain = max(BUCKET_S / _ERROR_MEMORY_S, 1.0 / (_BELIEF_FORECASTS + judged))
    before = demand.burstiness
    after = before + (min(sample, _BURSTINESS_MAX, _BURSTINESS_JUMP * before) - before) * gain
    return replace(demand, burstiness=max(_BURSTINESS_MIN, after), judged_forecasts=judged)


def _renew_forecast(demand: Demand, lead_s: float) -> Demand:
    """Forecast anew, and look for a burst that has ended meanwhile."""
    rate_rps = forecast(demand.arrivals, lead_s)
    return replace(
        demand,
        forecast_rps=rate_rps,
        forecasts_rps=(*demand.forecasts_rps, rate_rps)[-_lead_buckets(lead_s) :],
        past_bursts_rps=_past_bursts(demand, rate_rps),
    )


def _past_bursts(demand: Demand, forecast_rps: float) -> tuple[float, ...]:
    """The largest excess of short windows that came and went, fading over hours.

    A window 120 s ago is compared with the forecast of now and with the level before it: a step,
    up or down, is in one of the two and leaves nothing; a burst is in neither. A burst no larger
    than an earlier one is no news, because replicas asked for it would start after it has ended.
    """
    faded = 1.0 - BUCKET_S / _BURST_MEMORY_S
    past = demand.arrivals[:-LEVEL_BUCKETS]
    bursts_rps = []
    for n, burst_rps in zip(_BURST_BUCKETS, demand.past_bursts_rps, strict=True):
        if len(past) >= n:
            around_rps = max(forecast_rps, level_rps(past[:-n]))
            burst_rps = max(burst_rps * faded, level_rps(past[-n:]) - around_rps)
        bursts_rps.append(burst_rps)
    return tuple(bursts_rps)


def staffed_rps(demand: Demand, lead_s: float) -> float:
    """The rate that sizing turns into slots: the arriving one, at most twice the forecast.

    Up to four times where replicas start fast: they still meet the burst that asked for them.
    """
    growth = _GROWTH * min(max(1.0, _SLOW_START_S / max(lead_s, 1.0)), _GROWTH_FAST / _GROWTH)
    return min(arriving_rps(demand), growth * max(demand.forecast_rps, 1.0))


def arriving_rps(demand: Demand) -> float:
    """The rate of now: the forecast, unless the last seconds clearly exceed it.

    They do if chance does not explain it, and no burst that came and went was as large.
    """
    forecast_rps, open_s = demand.forecast_rps, demand.time_s - demand.open_since_s
    windows = [
        (mean_rps(demand.arrivals[-n:]), n * BUCKET_S, burst_rps)
        for n, burst_rps in zip(_BURST_BUCKETS, demand.past_bursts_rps, strict=True)
        if len(demand.arrivals) >= n
    ]
    if open_s >= _OPEN_MIN_S:
        open_rps = (demand.open_arrivals - _LATE_S * forecast_rps) / open_s
        windows.append((open_rps, open_s, demand.past_bursts_rps[0]))
    arriving = forecast_rps
    for rate_rps, window_s, burst_rps in windows:
        variance = demand.burstiness * max(arriving, 1.0 / window_s) / window_s
        if rate_rps > forecast_rps + max(_SURPRISE * math.sqrt(variance), burst_rps):
            arriving = max(arriving, rate_rps)
    return arriving
