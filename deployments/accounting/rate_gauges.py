"""Gauges of the held escalation rate, and a log line when its threshold has moved far."""

import logging

from ray.serve import metrics

from deployments.routing.held_rate import RateState

log = logging.getLogger("ray.serve")

# A third of the way from the trained threshold to the top: another kind of traffic.
FAR = 0.1
ABOUT = {
    "rate": "Share of late of the requests that may escalate that did, by quality.",
    "target_rate": "The share that is held.",
    "threshold": "The score at and above which a request escalates now.",
    "threshold_lowest": "What the threshold may not fall below.",
    "threshold_highest": "What the threshold may not rise above.",
    "owed": "Escalations by which the past fell short of the target.",
}


class RateGauges:
    """What dashboards show of one gateway's control."""

    def __init__(self) -> None:
        self._gauges = {
            name: metrics.Gauge(f"smallfirst_escalation_{name}", about)
            for name, about in ABOUT.items()
        }
        self._said: float | None = None

    def observe(self, state: RateState) -> None:
        """Set the gauges; say where the threshold has gone since it was said last."""
        values = {
            "rate": state.rate,
            "target_rate": state.target_rate,
            "threshold": state.threshold,
            "threshold_lowest": state.lowest,
            "threshold_highest": state.highest,
            "owed": state.owed,
        }
        for name, value in values.items():
            self._gauges[name].set(value)
        said = state.trained_threshold if self._said is None else self._said
        if abs(state.threshold - said) >= FAR:
            log.info(
                "escalation: the threshold moved from %.3f to %.3f (trained: %.3f) to hold %.1f%%; "
                "of late %.1f%% escalated",
                *(said, state.threshold, state.trained_threshold),
                *(100 * state.target_rate, 100 * state.rate),
            )
            self._said = state.threshold
