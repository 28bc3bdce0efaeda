"""The terms of each decision as Prometheus gauges, through Ray's metric agents."""

from __future__ import annotations

import sys
from typing import Any

from autoscale.core import Decision
from autoscale.observation import Observation

EVERY_S = 1.0  # Ray exports every 10 s; the control loop ticks ten times a second

NAMES = {
    "rate_rps": "Requests a second that are staffed for",
    "service_s": "Seconds a request holds a slot, measured",
    "startup_s": "Seconds from asking for a replica to having it, measured",
    "burstiness": "Variance to mean of demand in slots; 1 is Poisson",
    "offered_load": "Slots that the planned rate keeps busy",
    "seen_load": "Slots that the rate of the last seconds would keep busy",
    "backlog": "Requests waiting at handles and in engines",
    "staffing_slots": "Slots that keep waits within the objective",
    "drain_slots": "Extra slots that work off the backlog",
    "needed_replicas": "Replicas before calm and bounds",
}


class Gauges:
    """Sets gauges named `smallfirst_autoscale_*`, only inside a process that runs Ray."""

    def __init__(self) -> None:
        self._gauges: dict[str, Any] = {}
        self._set_s = -1e18

    def export(self, deployment: str, observation: Observation, decision: Decision) -> None:
        """Set every gauge, at most once a second."""
        if "ray" not in sys.modules or observation.time_s - self._set_s < EVERY_S:
            return
        self._set_s = observation.time_s
        tags = {"scaled_deployment": deployment}
        for name, meaning in NAMES.items():
            self._gauge(name, meaning, ("scaled_deployment",)).set(
                float(getattr(decision.terms, name)), tags
            )
        self._gauge("decided_replicas", "Replicas decided", ("scaled_deployment",)).set(
            float(decision.replicas), tags
        )

    def _gauge(self, name: str, meaning: str, tags: tuple[str, ...]) -> Any:
        if name not in self._gauges:
            from ray.util.metrics import Gauge

            self._gauges[name] = Gauge(f"smallfirst_autoscale_{name}", meaning, tags)
        return self._gauges[name]
