"""The policies compared: ours, and what people run instead, each with its own metric pipeline.

Ray's policies are in `ray_rival`, since they are Ray's own code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from autoscale.core import decide
from autoscale.observation import Observation
from autoscale.parameters import Parameters
from autoscale.simulation.simulate import Tick
from autoscale.simulation.workload import Profile, Workload
from autoscale.state import State

_METRIC_WINDOW_S = 3.0  # our serve_config: look_back_period_s 3, pushed every second


@dataclass(slots=True)
class Smallfirst:
    """Our core, fed as the Ray shell feeds it: 3 s means pushed every second."""

    parameters: Parameters
    state: State | None = None

    def __call__(self, tick: Tick) -> int:
        """The replicas `decide` asks for."""
        history, window = tick.history, _METRIC_WINDOW_S
        total = history.mean(history.in_system, window)
        queued = history.mean(history.queued, window)
        seen = Observation(
            time_s=tick.time_s,
            total_requests=total,
            queued=queued,
            current_replicas=tick.current,
            target_replicas=tick.target,
            min_replicas=tick.limits.min_replicas,
            max_replicas=tick.limits.max_replicas,
            engine_waiting=0.0,
            engine_running=total - queued,
            completed_total=history.mean(history.completed, window),
            reporting_replicas=tick.current,
        )
        decision = decide(seen, self.parameters, self.state)
        self.state = decision.state
        return decision.replicas


def parameters_for(profile: Profile, **changes: float) -> Parameters:
    """Parameters that describe a profile: its slots, priors and GPU quantum."""
    return Parameters.from_kwargs(
        {
            "slots_per_replica": profile.slots,
            "service_prior_s": profile.service_s,
            "startup_prior_s": profile.startup_s,
            "replicas_per_gpu": profile.replicas_per_gpu,
            "colocation_curve": profile.colocation_curve,
        }
        | changes
    )


@dataclass(slots=True)
class KnativeKpa:
    """Knative's KPA on concurrency: 60 s stable and 6 s panic windows, panic at 200%.

    Source: knative/serving pkg/autoscaler/scaling/autoscaler.go (main, 2026-08) as described in
    its documentation: tick 2 s, no scale-down in panic, at most halved a tick.
    """

    slots: int
    target_utilization: float = 0.7
    panic_until_s: float = -1.0
    panic_replicas: int = 0

    def __call__(self, tick: Tick) -> int:
        """Stable desire, or the largest panic desire while panicking."""
        if tick.history.ticks % max(1, round(2.0 / tick.limits.tick_s)):
            return tick.target
        history = tick.history
        per_replica = self.slots * self.target_utilization
        stable = math.ceil(history.mean(history.in_system, 60.0) / per_replica)
        panic = math.ceil(history.mean(history.in_system, 6.0) / per_replica)
        if panic >= 2.0 * max(1, tick.current):
            self.panic_until_s = tick.time_s + 60.0
        if tick.time_s < self.panic_until_s:
            self.panic_replicas = max(self.panic_replicas, panic, stable, tick.target)
            return self.panic_replicas
        self.panic_replicas = 0
        return max(stable, math.ceil(tick.current / 2.0))


@dataclass(slots=True)
class KedaHpa:
    """KEDA's Prometheus scaler with the HPA behind it, on ongoing requests a replica.

    Source: KEDA 2.22 and Kubernetes autoscaling/v2 documentation: metric every 30 s (KEDA's
    pollingInterval), HPA every 15 s, tolerance 10%, scale-down stabilised over 300 s.
    """

    slots: int
    target_utilization: float = 0.7
    wishes: list[tuple[float, int]] = field(default_factory=list)
    metric: float = 0.0

    def __call__(self, tick: Tick) -> int:
        """The HPA's stabilised recommendation."""
        step = tick.limits.tick_s
        if tick.history.ticks % max(1, round(30.0 / step)) == 0:
            self.metric = float(tick.history.in_system[tick.history.ticks - 1])
        if tick.history.ticks % max(1, round(15.0 / step)):
            return tick.target
        per_replica = self.slots * self.target_utilization
        ratio = self.metric / (per_replica * max(1, tick.target))
        wish = tick.target if abs(ratio - 1.0) <= 0.1 else math.ceil(self.metric / per_replica)
        self.wishes = [w for w in self.wishes if w[0] > tick.time_s - 300.0]
        self.wishes.append((tick.time_s, wish))
        return wish if wish >= tick.target else min(tick.target, max(n for _, n in self.wishes))


@dataclass(slots=True)
class WvaLike:
    """After llm-d's Workload Variant Autoscaler V1: spare capacity, one replica at a time.

    Source: llm-d-incubation/workload-variant-autoscaler, saturation mode: a replica is saturated
    from 80% KV or 5 waiting; up by one if mean spare is under 10% KV or 3 waiting; down by one if
    N - 1 would still have that spare; nothing while replicas start. Every 30 s. KV use is taken
    as the share of busy slots, which is what binds in these workloads.
    """

    slots: int
    saturation: float = 0.8

    def __call__(self, tick: Tick) -> int:
        """Plus one, minus one or the same."""
        if tick.history.ticks % max(1, round(30.0 / tick.limits.tick_s)):
            return tick.target
        if tick.current < tick.target:
            return tick.target
        history = tick.history
        queued = history.mean(history.queued, 15.0)
        use = (history.mean(history.in_system, 15.0) - queued) / self.slots
        replicas = max(1, tick.current)
        if self.saturation - use / replicas < 0.1 or 5.0 - queued / replicas < 3.0:
            return tick.target + 1
        if tick.target > 1 and self.saturation - use / (replicas - 1) >= 0.1 and queued == 0.0:
            return tick.target - 1
        return tick.target


@dataclass(slots=True)
class StaticPeak:
    """A constant fleet: whole GPUs for a quantile of the trace's own offered load."""

    replicas: int

    def __call__(self, tick: Tick) -> int:
        """Always the same."""
        return self.replicas


def static_peak(workload: Workload, profile: Profile, quantile: float) -> StaticPeak:
    """A fleet for the `quantile` of the load as it came: hindsight, so kind to static fleets."""
    load = float(np.quantile(workload.in_flight(), quantile))
    gpus = math.ceil(load / profile.slots / profile.replicas_per_gpu)
    return StaticPeak(max(1, gpus) * profile.replicas_per_gpu)


@dataclass(slots=True)
class Clairvoyant:
    """Knows every arrival and start-up in advance: whole GPUs ready for the load to come."""

    plan: list[int]
    ahead_ticks: int

    def __call__(self, tick: Tick) -> int:
        """What will be needed when a replica asked for now is ready, or sooner."""
        now = tick.history.ticks
        return max(self.plan[now : now + self.ahead_ticks + 1], default=tick.target)


def clairvoyant(
    workload: Workload, profile: Profile, quantile: float, tick_s: float
) -> Clairvoyant:
    """A plan that covers the `quantile` of the load in every minute.

    Below 1 it lets a share of each minute be late on purpose, which is what makes an oracle for a
    99% objective cheaper than one for 100%.
    """
    minute = max(1, round(60.0 / tick_s))
    load = workload.in_flight(tick_s)
    per_gpu = profile.slots * profile.replicas_per_gpu
    plan: list[int] = []
    for start in range(0, len(load), minute):
        need = float(np.quantile(load[start : start + minute], quantile))
        gpus = max(1, math.ceil(need / per_gpu - 1e-9))
        plan.extend([gpus * profile.replicas_per_gpu] * minute)
    ahead_s = profile.startup_s * (1.0 + 3.0 * profile.startup_cv)
    return Clairvoyant(plan, math.ceil(ahead_s / tick_s))
