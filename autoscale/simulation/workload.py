"""Requests to simulate: when each arrives, how long it holds a slot, what KV cache it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one replica and one GPU can do. Measure yours; the defaults are the pilot's.

    The pilot: 16 slots, 6 s mean service, 4 replicas a GPU, 90 s start-up, an INT4 7B model.
    """

    slots: int = 16
    service_s: float = 6.0
    """Mean seconds a request holds a slot at a full batch, for traces without token counts."""
    service_cv: float = 1.0
    handover_s: float = 0.0
    """Seconds that a slot is idle between two requests while the router hands over the next one;
    `python -m bench.autoscale.live` measures it."""
    prefill_tokens_per_s: float = 4000.0
    decode_tokens_per_s: float = 40.0
    """For one request at a full batch. Used for traces with token counts."""
    batch_slowdown: float = 0.0
    """Part of the token time that comes from the batch: an empty batch is 1 / (1 - this) faster."""
    kv_tokens: float = float("inf")
    """KV cache of one replica."""
    startup_s: float = 90.0
    startup_cv: float = 0.2
    replicas_per_gpu: int = 4
    colocation_curve: tuple[float, ...] = ()
    gpu_usd_per_hour: float = 1.2

    def __post_init__(self) -> None:
        """Refuse values that cannot be simulated. Raises: ValueError naming the key."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name}: expected a number, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name}: {value!r} is outside [{low:g}, {high:g}]")
        for name in ("slots", "replicas_per_gpu"):
            if getattr(self, name) != int(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not a whole number")


_DAY_S = 86_400.0
_RANGES: dict[str, tuple[float, float]] = {
    "slots": (1, 100_000),
    "service_s": (1e-4, _DAY_S),
    "service_cv": (0.0, 100.0),
    "handover_s": (0.0, _DAY_S),
    "prefill_tokens_per_s": (1e-3, math.inf),
    "decode_tokens_per_s": (1e-3, math.inf),
    "batch_slowdown": (0.0, 0.99),
    "kv_tokens": (1.0, math.inf),
    "startup_s": (0.0, _DAY_S),
    "startup_cv": (0.0, 100.0),
    "replicas_per_gpu": (1, 64),
    "gpu_usd_per_hour": (0.0, math.inf),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """Sorted requests from time 0 to `end_s`; `clock_s` is the Unix time of 0."""

    arrival_s: Floats
    work_s: Floats
    kv_tokens: Floats
    end_s: float
    clock_s: float = 0.0
    name: str = "trace"

    @property
    def rate_rps(self) -> float:
        """Mean arrivals a second."""
        return len(self.arrival_s) / self.end_s if self.end_s > 0 else 0.0

    def in_flight(self, step_s: float = 1.0) -> Floats:
        """Requests in service at each step if no one ever waited: the offered load as it came."""
        edges = np.arange(0.0, self.end_s + step_s, step_s)
        begun = np.searchsorted(self.arrival_s, edges, side="right")
        ended = np.searchsorted(np.sort(self.arrival_s + self.work_s), edges, side="right")
        return (begun - ended).astype(np.float64)


def longest_left_s(work_s: Floats, slots: int) -> float:
    """Seconds until the last of `slots` running requests is done: what a replica takes to drain.

    A running request is met in proportion to its length, at a uniform point of it, so that P(left
    > r) = mean(max(0, work - r)) / mean(work). The largest of n such is about what one in n + 1
    exceeds: 2.8 mean service times for exponential ones on 16 slots.
    """
    if not len(work_s):
        return 0.0
    ordered = np.sort(work_s)
    beyond = np.cumsum(ordered[::-1])[::-1] - ordered * np.arange(len(ordered), 0, -1)
    rare = beyond <= ordered.sum() / (slots + 1)
    return float(ordered[np.argmax(rare)])


def with_spikes(
    workload: Workload, factor: int, times_s: tuple[float, ...], length_s: float
) -> Workload:
    """The workload with each request inside a spike repeated `factor` times, jittered by 1 s."""
    rng = np.random.default_rng(len(workload.arrival_s))
    arrivals, works, kvs = [workload.arrival_s], [workload.work_s], [workload.kv_tokens]
    for time_s in times_s:
        inside = (workload.arrival_s >= time_s) & (workload.arrival_s < time_s + length_s)
        for _ in range(factor - 1):
            jitter = rng.uniform(-0.5, 0.5, int(inside.sum()))
            arrivals.append(np.clip(workload.arrival_s[inside] + jitter, 0.0, workload.end_s))
            works.append(rng.permutation(workload.work_s[inside]))
            kvs.append(rng.permutation(workload.kv_tokens[inside]))
    arrival = np.concatenate(arrivals)
    order = np.argsort(arrival, kind="stable")
    return Workload(
        arrival[order],
        np.concatenate(works)[order],
        np.concatenate(kvs)[order],
        workload.end_s,
        workload.clock_s,
        f"{workload.name}+spikes",
    )
