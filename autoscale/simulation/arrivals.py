"""Turns a trace into a workload: scaled, cut to days, with seeded arrivals and service times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoscale.simulation.traces import RateTrace, RequestTrace, Trace, TraceError
from autoscale.simulation.workload import Floats, Profile, Workload

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a trace to use: from `start_s` for `length_s`, with `scale` times the rate."""

    start_s: float = 0.0
    length_s: float = DAY_S
    scale: float = 1.0


def trace_length_s(trace: Trace) -> float:
    """Seconds from the first entry to the end of the last one."""
    tail = trace.step_s if isinstance(trace, RateTrace) else 0.0
    return float(trace.time_s.max()) + tail


def mean_rate_rps(trace: Trace) -> float:
    """Mean requests a second over the whole trace."""
    if isinstance(trace, RequestTrace):
        return len(trace.time_s) / max(1.0, trace_length_s(trace))
    return float(trace.rate_rps.sum()) * trace.step_s / trace_length_s(trace)


def affordable_scale(
    trace: Trace, length_s: float, most_requests: float, most_scale: float = 1.0
) -> float:
    """The scale, at most `most_scale`, that is `most_requests` in `length_s` on average."""
    expected = mean_rate_rps(trace) * min(length_s, trace_length_s(trace))
    return min(most_scale, most_requests / expected) if expected > 0.0 else most_scale


def make_workload(trace: Trace, cut: Cut, profile: Profile, seed: int) -> Workload:
    """The workload of a cut. The same seed gives the same requests to every policy.

    Rates become renewal arrivals with gamma gaps of the given CV (1 is Poisson), one stream a
    client. Requests keep their recorded times when `scale` is 1, are thinned below, and are
    repeated with 1 s jitter above. Raises: TraceError if the cut holds no request.
    """
    rng = np.random.default_rng((seed, 0xA881))
    length_s = min(cut.length_s, trace_length_s(trace) - cut.start_s)
    if isinstance(trace, RateTrace):
        arrival = np.sort(_from_rates(trace, cut, length_s, rng))
        work, kv = _random_work(profile, len(arrival), rng)
    else:
        index = _from_requests(trace, cut, length_s, rng)
        jitter = rng.uniform(0.0, 1.0, len(index)) if cut.scale > 1.0 else 0.0
        arrival = trace.time_s[index] - cut.start_s + jitter
        order = np.argsort(arrival, kind="stable")
        arrival, index = arrival[order], index[order]
        work, kv = _token_work(trace, index, profile)
    if not len(arrival):
        raise TraceError(
            f"{trace.name}: no request from hour {cut.start_s / 3600.0:g} on; the trace is "
            f"{trace_length_s(trace) / 3600.0:.3g} hours long"
        )
    return Workload(arrival, work, kv, length_s, trace.clock_s + cut.start_s, trace.name)


def _from_rates(trace: RateTrace, cut: Cut, length_s: float, rng: np.random.Generator) -> Floats:
    """Gamma renewals inside each row's window; every window starts at a random phase."""
    inside = (trace.time_s + trace.step_s > cut.start_s) & (trace.time_s < cut.start_s + length_s)
    parts: list[Floats] = []
    for time_s, rate, cv in zip(
        trace.time_s[inside], trace.rate_rps[inside] * cut.scale, trace.cv[inside], strict=True
    ):
        if rate <= 0.0:
            continue
        if cv == 1.0:
            count = rng.poisson(rate * trace.step_s)
            offsets = rng.uniform(0.0, trace.step_s, count)
        else:
            offsets = _gamma_renewal(float(rate), float(cv), trace.step_s, rng)
        parts.append(time_s - cut.start_s + offsets)
    if not parts:
        return np.empty(0)
    arrival = np.concatenate(parts)
    return arrival[(arrival >= 0.0) & (arrival < length_s)]


def _gamma_renewal(rate: float, cv: float, window_s: float, rng: np.random.Generator) -> Floats:
    """Arrival offsets in a window: gaps gamma with the CV, stationary by a burn-in of 20 gaps."""
    shape = 1.0 / max(cv * cv, 1e-3)
    burn_s = 20.0 / rate
    count = math.ceil(rate * (window_s + burn_s) + 6.0 * cv * math.sqrt(rate * window_s + 20.0)) + 5
    times = (
        np.cumsum(rng.gamma(shape, 1.0 / (rate * shape), count)) - rng.uniform(0.5, 1.0) * burn_s
    )
    while times[-1] < window_s:
        more = np.cumsum(rng.gamma(shape, 1.0 / (rate * shape), count)) + times[-1]
        times = np.concatenate((times, more))
    return times[(times >= 0.0) & (times < window_s)]


def _from_requests(
    trace: RequestTrace, cut: Cut, length_s: float, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    inside = np.nonzero((trace.time_s >= cut.start_s) & (trace.time_s < cut.start_s + length_s))[0]
    whole, part = divmod(cut.scale, 1.0)
    kept = inside[rng.uniform(size=len(inside)) < part]
    return np.concatenate([inside] * int(whole) + [kept])


def _random_work(profile: Profile, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Lognormal service times; KV tokens in proportion to them."""
    if profile.service_cv <= 0.0:
        work = np.full(count, profile.service_s)
    else:
        sigma = math.sqrt(math.log1p(profile.service_cv**2))
        work = profile.service_s * rng.lognormal(-0.5 * sigma * sigma, sigma, count)
    return work, work * profile.decode_tokens_per_s


def _token_work(
    trace: RequestTrace, index: np.ndarray[tuple[int], np.dtype[np.int64]], profile: Profile
) -> tuple[Floats, Floats]:
    """Prefill plus decode time at a full batch; KV holds prompt and completion."""
    prompt, completion = trace.prompt_tokens[index], trace.completion_tokens[index]
    work = prompt / profile.prefill_tokens_per_s + completion / profile.decode_tokens_per_s
    return np.maximum(work, 1e-3), prompt + completion
