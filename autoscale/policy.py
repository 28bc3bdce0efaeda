"""The Ray Serve policy class: a thin shell around `decide` that never raises and never blocks.

Named in `serve_config.yaml` as `autoscale.policy:QueueDepthPolicy`. It runs inside the Serve
controller, where one exception would freeze the autoscaling of every application, so everything
is caught and answered by holding the target. Set Ray's own delays to 0 and factors to 1.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Protocol

from autoscale.core import Decision, State, decide
from autoscale.gauges import Gauges
from autoscale.journal import Journal
from autoscale.observation import Observation
from autoscale.parameters import Parameters

logger = logging.getLogger("ray.serve")

ENGINE_METRICS = ("engine_waiting", "engine_running", "kv_cache_usage", "completed_total")
"""What a replica's `record_autoscaling_stats` returns, as floats; `completed_total` counts every
request that left the replica since it started, whatever its end."""


class Context(Protocol):
    """The fields read of Ray's `AutoscalingContext` (Ray 2.60)."""

    deployment_name: str
    current_num_replicas: int
    target_num_replicas: int
    total_num_requests: float
    total_queued_requests: float
    aggregated_metrics: Mapping[str, Mapping[Any, float]]
    capacity_adjusted_min_replicas: int
    capacity_adjusted_max_replicas: int
    current_time: float


class CompletionCounter:
    """Sums per-replica counters into one that never falls when replicas come and go."""

    def __init__(self) -> None:
        self._seen: dict[Any, float] | None = None
        self._total = 0.0

    def add(self, counts: Mapping[Any, float]) -> float:
        """The total after these readings. A replica that appears later is counted from zero."""
        first = self._seen is None
        seen = {} if self._seen is None else self._seen
        for replica, count in counts.items():
            if not _is_count(count):
                continue
            before = seen.get(replica, count if first else 0.0)
            self._total += max(0.0, float(count - before))
            seen[replica] = count
        self._seen = {replica: n for replica, n in seen.items() if replica in counts}
        return self._total


class Observer:
    """Turns Ray's context into an `Observation`."""

    def __init__(self) -> None:
        self._completions = CompletionCounter()

    def observe(self, ctx: Context) -> Observation:
        """What is seen now; values that are not numbers are passed on for `clean` to refuse."""
        metrics = ctx.aggregated_metrics or {}
        waiting, running = metrics.get("engine_waiting") or {}, metrics.get("engine_running") or {}
        kv = metrics.get("kv_cache_usage") or {}
        completed = metrics.get("completed_total") or {}
        return Observation(
            time_s=_plain(ctx.current_time),
            total_requests=_plain(ctx.total_num_requests),
            queued=_plain(ctx.total_queued_requests),
            current_replicas=_plain(ctx.current_num_replicas),
            target_replicas=_plain(ctx.target_num_replicas),
            min_replicas=_plain(ctx.capacity_adjusted_min_replicas),
            max_replicas=_plain(ctx.capacity_adjusted_max_replicas),
            engine_waiting=_plain(sum(waiting.values())) if waiting else None,
            engine_running=_plain(sum(running.values())) if running else None,
            kv_cache_usage=_plain(sum(kv.values()) / len(kv)) if kv else None,
            completed_total=self._completions.add(completed) if completed else None,
            reporting_replicas=sum(map(_is_count, running.values())),
        )


class QueueDepthPolicy:
    """Replicas from queue depth, demand and measured capacity; see `autoscale.core.decide`."""

    def __init__(self, **policy_kwargs: Any) -> None:
        """Wrong settings are logged and replaced by the defaults: raising here would stop Serve."""
        try:
            self.parameters = Parameters.from_kwargs(policy_kwargs)
        except Exception as error:
            logger.error("autoscale: %s; running with default settings", error)
            self.parameters = Parameters()
        self._observer = Observer()
        self._state: State | None = None
        self._journal = Journal(self.parameters.journal_path)
        self._gauges = Gauges()
        self._last = 1
        self.last_decision: Decision | None = None

    def __call__(self, ctx: Context) -> tuple[int, dict[str, Any]]:
        """The replicas to run and Ray's policy state (ours lives here, so an empty one)."""
        try:
            self._last = self._decide(ctx)
        except Exception as error:
            self.last_decision = None
            self._journal.fault(type(error).__name__)
            self._last = _held(ctx, self._last)
        return self._last, {}

    def _decide(self, ctx: Context) -> int:
        observation = self._observer.observe(ctx)
        before = self._state
        decision = decide(observation, self.parameters, before)
        self._state, self.last_decision = decision.state, decision
        self._tell(ctx.deployment_name, observation, before, decision)
        return self._acted(observation, decision)

    def _tell(
        self, deployment: str, observation: Observation, before: State | None, decision: Decision
    ) -> None:
        """Journal and gauges; their failure never changes a decision."""
        try:
            self._journal.record(deployment, observation, before, decision, self.parameters)
            self._gauges.export(deployment, observation, decision)
        except Exception as error:
            self._journal.fault(type(error).__name__)

    def _acted(self, observation: Observation, decision: Decision) -> int:
        """The decision, or in shadow mode what Ray's default formula would ask for."""
        if not self.parameters.shadow:
            return decision.replicas
        per_replica = self.parameters.shadow_target_ongoing_requests
        if per_replica <= 0.0 or not _is_count(observation.total_requests):
            return observation.target_replicas
        return math.ceil(observation.total_requests / per_replica - 1e-9)


def _plain(value: Any) -> Any:
    """Python numbers for numpy's (Ray averages with numpy); anything else as it is."""
    if type(value) is int or type(value) is float or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _is_count(value: object) -> bool:
    return isinstance(value, Real) and 0.0 <= float(value) < math.inf


def _held(ctx: Context, last: int) -> int:
    """The target as Ray holds it, or the last answer if even that cannot be read."""
    try:
        return max(0, int(ctx.target_num_replicas), int(ctx.capacity_adjusted_min_replicas))
    except Exception:
        return last
