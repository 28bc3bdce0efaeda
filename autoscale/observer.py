"""What Ray shows the policy at a tick, as the plain numbers that `decide` takes."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Protocol

from autoscale.engine_reports import EngineReports, is_count
from autoscale.observation import Observation

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


class Observer:
    """Turns Ray's context into an `Observation`."""

    def __init__(self) -> None:
        self._reports = EngineReports()

    def observe(self, ctx: Context) -> Observation:
        """What is seen now; values that are not numbers are passed on for `clean` to refuse."""
        metrics = ctx.aggregated_metrics or {}
        waiting, running = metrics.get("engine_waiting") or {}, metrics.get("engine_running") or {}
        kv = metrics.get("kv_cache_usage") or {}
        completed = metrics.get("completed_total") or {}
        replicas, time_s = _plain(ctx.current_num_replicas), _plain(ctx.current_time)
        at = (replicas, time_s) if is_count(replicas) and isinstance(time_s, Real) else (0, 0.0)
        reports = self._reports
        return Observation(
            time_s=time_s,
            total_requests=_plain(ctx.total_num_requests),
            queued=_plain(ctx.total_queued_requests),
            current_replicas=replicas,
            target_replicas=_plain(ctx.target_num_replicas),
            min_replicas=_plain(ctx.capacity_adjusted_min_replicas),
            max_replicas=_plain(ctx.capacity_adjusted_max_replicas),
            engine_waiting=_plain(reports.whole(waiting, *at)),
            engine_running=_plain(reports.whole(running, *at)),
            kv_cache_usage=_plain(sum(kv.values()) / len(kv)) if kv else None,
            completed_total=reports.completed(completed, *at) if completed else None,
            reporting_replicas=sum(map(is_count, running.values())),
        )


def _plain(value: Any) -> Any:
    """Python numbers for numpy's (Ray averages with numpy); anything else as it is."""
    if type(value) is int or type(value) is float or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)
