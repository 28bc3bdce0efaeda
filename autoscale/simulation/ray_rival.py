"""Ray Serve's own decision code under a virtual clock, as a policy of the simulator.

Ray's wrapper and default policy are imported and called, not imitated: factors, delays and the
cold-start path are Ray's. Private names of Ray 2.60; a test holds the contract. Only the metric
pipeline is modelled: samples averaged over `look_back_period_s`, renewed every push.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from ray.serve import autoscaling_policy as ray_policy
from ray.serve.config import AutoscalingConfig

from autoscale.simulation.simulate import Tick


@dataclass(frozen=True, slots=True)
class RaySettings:
    """The knobs of `AutoscalingConfig` that a user tunes; the values are Ray 2.60's defaults."""

    target_ongoing_requests: float = 2.0
    look_back_period_s: float = 30.0
    metrics_interval_s: float = 10.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0


@dataclass(slots=True)
class RayRival:
    """Ray's `default_autoscaling_policy` inside Ray's wrapper."""

    settings: RaySettings
    min_replicas: int = 1
    max_replicas: int = 400
    total: float = 0.0
    state: dict[str, Any] = field(default_factory=dict)
    decide: Any = None
    config: Any = None

    def __post_init__(self) -> None:
        """Build Ray's config and wrap its policy as the controller does."""
        chosen = self.settings
        self.config = AutoscalingConfig(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            target_ongoing_requests=chosen.target_ongoing_requests,
            look_back_period_s=chosen.look_back_period_s,
            metrics_interval_s=chosen.metrics_interval_s,
            upscale_delay_s=chosen.upscale_delay_s,
            downscale_delay_s=chosen.downscale_delay_s,
        )
        self.decide = ray_policy._apply_autoscaling_config(ray_policy.default_autoscaling_policy)

    def __call__(self, tick: Tick) -> int:
        """What Ray's controller would set at this tick."""
        history = tick.history
        if history.ticks % max(1, round(self.settings.metrics_interval_s / history.tick_s)) == 0:
            self.total = history.mean(history.in_system, self.settings.look_back_period_s)
        ctx = SimpleNamespace(
            current_num_replicas=tick.current,
            target_num_replicas=tick.target,
            total_num_requests=self.total,
            config=self.config,
            policy_state=self.state,
            capacity_adjusted_min_replicas=self.min_replicas,
            capacity_adjusted_max_replicas=self.max_replicas,
            current_time=tick.time_s,
        )
        _clock.now_s = tick.time_s
        real, ray_policy.time = ray_policy.time, _clock
        try:
            replicas, self.state = self.decide(ctx)
        finally:
            ray_policy.time = real
        return int(replicas)


class _VirtualClock(ModuleType):
    """Stands in for the `time` module that Ray's delay logic reads."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s


_clock = _VirtualClock("time")
