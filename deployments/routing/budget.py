"""A guard on the share of requests that escalate: a token bucket fed by traffic, not by time."""

from deployments.settings.escalation import Escalation


class Budget:
    """Holds the escalated share at or under the cap over any stretch longer than the burst.

    Each request that may escalate earns `cap` of an escalation, up to `burst`; each escalation
    spends one. Escalations after N requests are therefore at most `burst + cap x N`.
    """

    def __init__(self, config: Escalation) -> None:
        self._rate = config.cap
        self._burst = float(config.burst)
        self._left = float(config.burst) if config.cap > 0 else 0.0

    def earn(self) -> None:
        """Count one request that may escalate."""
        self._left = min(self._burst, self._left + self._rate)

    @property
    def left(self) -> bool:
        """Whether one more escalation fits."""
        # Ten times 0.1 is 0.9999…: without the slack a burst of 1 would never refill.
        return self._left >= 1.0 - 1e-9

    @property
    def credit(self) -> bool:
        """Whether an escalation that another gateway may have paid for still fits: up to `burst`
        ahead of what was earned, so that the share holds in the long run."""
        return self._rate > 0 and self._left >= 1.0 - self._burst - 1e-9

    def spend(self) -> None:
        """Count one escalation."""
        self._left -= 1.0
