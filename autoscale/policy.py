"""The Ray Serve policy class: a thin shell around `decide` that never raises and never blocks.

Named in `serve_config.yaml` as `autoscale.policy:QueueDepthPolicy`. It runs inside the Serve
controller, where one exception would freeze the autoscaling of every application, so everything
is caught and answered by holding the target. Set Ray's own delays to 0 and factors to 1.
"""

from __future__ import annotations

import logging
import math
from typing import Any

from autoscale.core import Decision, decide
from autoscale.engine_reports import is_count
from autoscale.gauges import Gauges
from autoscale.journal import Journal
from autoscale.memory import Memory, full_name, recall
from autoscale.observation import Observation
from autoscale.observer import Context
from autoscale.parameters import Parameters
from autoscale.state import State

logger = logging.getLogger("ray.serve")


class QueueDepthPolicy:
    """Replicas from queue depth, demand and measured capacity; see `autoscale.core.decide`."""

    def __init__(self, **policy_kwargs: Any) -> None:
        """Wrong settings are logged and replaced by the defaults: raising here would stop Serve."""
        try:
            self.parameters = Parameters.from_kwargs(policy_kwargs)
        except Exception as error:
            logger.error("autoscale: %s; running with default settings", error)
            self.parameters = Parameters()
        self._memory: Memory | None = None
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
        if self._memory is None:
            self._memory = recall(ctx, self._journal.path)
        memory, self.last_decision = self._memory, None
        observation = memory.observer.observe(ctx)
        before = memory.state
        decision = decide(observation, self.parameters, before)
        memory.state, self.last_decision = decision.state, decision
        self._tell(ctx, observation, before, decision)
        return self._acted(observation, decision)

    def _tell(
        self, ctx: Context, observation: Observation, before: State | None, decision: Decision
    ) -> None:
        """Journal and gauges; their failure never changes a decision."""
        try:
            name = full_name(ctx)
            self._journal.record(name, observation, before, decision, self.parameters)
            self._gauges.export(ctx.deployment_name, observation, decision)
        except Exception as error:
            self._journal.fault(type(error).__name__)

    def _acted(self, observation: Observation, decision: Decision) -> int:
        """The decision, or in shadow mode what Ray's default formula would ask for."""
        if not self.parameters.shadow:
            return decision.replicas
        per_replica = self.parameters.shadow_target_ongoing_requests
        if per_replica <= 0.0 or not is_count(observation.total_requests):
            return observation.target_replicas
        return math.ceil(observation.total_requests / per_replica - 1e-9)


def _held(ctx: Context, last: int) -> int:
    """The target as Ray holds it, or the last answer if even that cannot be read."""
    try:
        return max(0, int(ctx.target_num_replicas), int(ctx.capacity_adjusted_min_replicas))
    except Exception:
        return last
