"""Shows which upstreams of a tier are left alone: a gauge each, a line on a change."""

import logging
from collections.abc import Mapping

from ray.serve import metrics

log = logging.getLogger("ray.serve")


class TargetGauges:
    """`smallfirst_alarm_breaker_open` of one replica."""

    def __init__(self, tier: str) -> None:
        self._tier = tier
        self._open: dict[str, bool] = {}
        self._gauge = metrics.Gauge(
            "smallfirst_alarm_breaker_open",
            "1: the upstream is left alone, because it is down or asked for that.",
            tag_keys=("tier", "target"),
        )

    def show(self, closed: Mapping[str, bool]) -> None:
        """Set the gauge of each upstream whose state has changed, or is seen for the first time."""
        for target, left_alone in closed.items():
            before = self._open.get(target)
            if left_alone != before:
                self._gauge.set(float(left_alone), {"tier": self._tier, "target": target})
            if left_alone != (before or False):
                state = "is left alone" if left_alone else "is asked again"
                log.warning("alarm breaker_open: tier %s: %s %s", self._tier, target, state)
            self._open[target] = left_alone
