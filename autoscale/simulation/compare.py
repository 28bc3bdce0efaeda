"""The policies by name with their knobs, the jobs that compare them, and their summaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from autoscale.simulation.arrivals import Cut
from autoscale.simulation.ray_rival import RayRival, RaySettings
from autoscale.simulation.rivals import (
    KedaHpa,
    KnativeKpa,
    Smallfirst,
    WvaLike,
    clairvoyant,
    parameters_for,
    static_peak,
)
from autoscale.simulation.simulate import Limits, Policy, Run
from autoscale.simulation.workload import Profile, Workload

Knobs = dict[str, float]

RAY_DEFAULT_UTILIZATION = 0.7
"""Ray's own `target_ongoing_requests` of 2 fits no LLM replica; 0.7 of the slots is the usual
advice and the most favourable reading of "default"."""

RAY_TUNED: Knobs = {"utilization": 0.9, "look_back_s": 30.0, "up_s": 0.0, "down_s": 600.0}
"""Cheapest of 24 grid points at 99.9% on the training day of Azure 2024 code;
`python -m bench.autoscale.frontier` prints the grid."""


@dataclass(frozen=True)
class Job:
    """One run: a policy with knobs, on a cut of the trace, with a seed."""

    policy: str
    cut: Cut
    profile: Profile
    limits: Limits
    seed: int
    knobs: Knobs = field(default_factory=dict)
    spikes: tuple[float, ...] = ()
    """Seconds at which 3x spikes of 10 minutes begin."""
    cv_scale: float = 1.0

    def __hash__(self) -> int:
        return hash((self.policy, self.cut, self.seed, tuple(self.knobs.items())))


@dataclass(frozen=True, slots=True)
class Summary:
    """Means with 95% intervals (Student's t); waits average the quantiles of runs.

    The interval is over days, a day's seeds averaged first. Of one day alone it is over seeds: the
    luck of arrivals and start-ups, which says nothing about other days.
    """

    policy: str
    trace: str
    attainment: float
    attainment_ci: tuple[float, float]
    gpu_hours: float
    gpu_hours_ci: tuple[float, float]
    reversals: float
    wait_p50_s: float
    wait_p99_s: float
    requests: int
    starts: float
    cancelled_starts: float
    seeds: tuple[int, ...]
    knobs: Knobs

    def as_json(self) -> dict[str, Any]:
        """A plain JSON object."""
        return asdict(self)


def _ray(job: Job, knobs: Knobs) -> Policy:
    settings = RaySettings(
        target_ongoing_requests=knobs["utilization"] * job.profile.slots,
        look_back_period_s=knobs.get("look_back_s", 30.0),
        metrics_interval_s=min(10.0, knobs.get("look_back_s", 30.0) / 3.0),
        upscale_delay_s=knobs.get("up_s", 30.0),
        downscale_delay_s=knobs.get("down_s", 600.0),
    )
    return RayRival(settings, job.limits.min_replicas, job.limits.max_replicas)


Factory = Callable[[Job, Workload], Policy]

POLICIES: dict[str, Factory] = {
    "smallfirst": lambda job, _: Smallfirst(
        parameters_for(job.profile, **({"slo_wait_s": job.limits.slo_wait_s} | job.knobs))
    ),
    "ray-default": lambda job, _: _ray(job, {"utilization": RAY_DEFAULT_UTILIZATION} | job.knobs),
    "ray-tuned": lambda job, _: _ray(job, RAY_TUNED | job.knobs),
    "kpa": lambda job, _: KnativeKpa(job.profile.slots, job.knobs.get("utilization", 0.7)),
    "keda": lambda job, _: KedaHpa(job.profile.slots, job.knobs.get("utilization", 0.7)),
    "wva": lambda job, _: WvaLike(job.profile.slots, job.knobs.get("saturation", 0.8)),
    "static-peak": lambda job, load: static_peak(
        load, job.profile, job.knobs.get("quantile", 0.9995)
    ),
    "clairvoyant": lambda job, load: clairvoyant(
        load, job.profile, job.knobs.get("quantile", 1.0), job.limits.tick_s
    ),
}


def check_policies(names: Sequence[str]) -> None:
    """Raises: ValueError that lists the known policies if a name is unknown."""
    for name in names:
        if name not in POLICIES:
            raise ValueError(f"unknown policy {name!r}; known are {', '.join(POLICIES)}")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean; a single value is its own interval."""
    if len(values) < 2:
        return values[0], values[0]
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = student_t(len(values) - 1) * spread
    return mean - reach, mean + reach


def student_t(freedom: int) -> float:
    """The 97.5% quantile of Student's t (tables; beyond 10 degrees 1.96 + 2.4 / df, to 0.02)."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    return table[freedom - 1] if freedom <= len(table) else 1.96 + 2.4 / freedom


def summarise(results: Sequence[tuple[Job, Run]]) -> Summary:
    """The summary of one policy's runs over days and seeds."""
    job, first = results[0]
    days: dict[float, list[Run]] = {}
    for job_of_run, run in sorted(results, key=lambda result: result[0].seed):
        days.setdefault(job_of_run.cut.start_s, []).append(run)
    one_day = len(days) == 1

    def samples(name: str) -> list[float]:
        values = [[float(getattr(run, name)) for run in runs] for runs in days.values()]
        return values[0] if one_day else [float(np.mean(seeds)) for seeds in values]

    def mean(name: str) -> float:
        return float(np.mean(samples(name)))

    low, high = interval(samples("attainment"))
    return Summary(
        policy=job.policy,
        trace=first.trace,
        attainment=mean("attainment"),
        attainment_ci=(max(0.0, low), min(1.0, high)),
        gpu_hours=mean("gpu_hours"),
        gpu_hours_ci=interval(samples("gpu_hours")),
        reversals=mean("reversals"),
        wait_p50_s=mean("wait_p50_s"),
        wait_p99_s=mean("wait_p99_s"),
        requests=first.requests,
        starts=mean("starts"),
        cancelled_starts=mean("cancelled_starts"),
        seeds=tuple(sorted({job.seed for job, _ in results})),
        knobs=job.knobs,
    )


def summarise_all(results: Sequence[tuple[Job, Run]]) -> list[Summary]:
    """One summary for each policy and knob setting, in the order first seen."""
    groups: dict[tuple[str, tuple[tuple[str, float], ...]], list[tuple[Job, Run]]] = {}
    for job, run in results:
        key = (job.policy, tuple(sorted(job.knobs.items())))
        groups.setdefault(key, []).append((job, run))
    return [summarise(group) for group in groups.values()]
