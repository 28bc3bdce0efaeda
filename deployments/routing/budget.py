"""A guard on the share of requests that escalate: a token bucket fed by traffic, not by time."""

from collections.abc import Sequence

from deployments.routing.sharing import Said, remember
from deployments.settings.escalation import Escalation


class Budget:
    """Holds the escalated share at or under the cap over any stretch longer than the burst.

    Each request that may escalate earns `cap` of an escalation, up to `burst`; each escalation
    spends one. Escalations after N requests are therefore at most `burst + cap x N`.

    Several gateways hold a part of the burst each and pass on what they earn beyond it: nothing is
    spent that nobody earned, so that together they keep the same bound, however late they hear of
    each other. Where there are more gateways than `burst`, each may hold one. One that was cut off
    for longer than `LIVE_S` may take once more what was shared out without it, at most its part.
    """

    def __init__(self, config: Escalation) -> None:
        self._given = 0.0
        # What each of the others had given when it was last heard.
        self._taken: dict[str, float] = {}
        self._heard = False
        self._others = 0
        self._left = float(config.burst) if config.cap > 0 else 0.0
        self.configure(config)

    def configure(self, config: Escalation) -> None:
        """Hold other limits from now on."""
        self._rate = config.cap
        self._burst = float(config.burst)
        self._trim()

    def earn(self) -> None:
        """Count one request that may escalate."""
        self._left += self._rate
        self._trim()

    @property
    def left(self) -> bool:
        """Whether one more escalation fits."""
        # Ten times 0.1 is 0.9999…: without the slack a burst of 1 would never refill.
        return self._rate > 0 and self._left >= 1.0 - 1e-9

    @property
    def credit(self) -> bool:
        """Whether an escalation that another gateway may have paid for still fits: up to `burst`
        (this gateway's part of it) ahead of what was earned, so that the share holds in the long
        run."""
        return self._rate > 0 and self._left >= 1.0 - self._part - 1e-9

    def spend(self) -> None:
        """Count one escalation."""
        self._left -= 1.0

    def say(self) -> float:
        """What this gateway has passed on since its start."""
        return self._given

    def hear(self, others: Sequence[Said]) -> None:
        """Hold a part among those that live, and take a part of what the others gave."""
        live = {said.gateway for said in others if said.live}
        if not self._heard and live:
            # The burst is theirs already.
            self._left = min(self._left, 0.0)
        self._others = len(live)
        self._trim()
        taken = 0.0
        for gateway, _, given in others:
            # What was given before this gateway's time went to others.
            before = self._taken.get(gateway, 0.0 if self._heard else given)
            takers = len(live - {gateway}) + 1
            taken += max(0.0, given - before) / takers
        self._left = min(self._part, self._left + taken)
        remember(self._taken, {gateway: given for gateway, _, given in others})
        self._heard = True

    @property
    def _part(self) -> float:
        return max(1.0, self._burst / (1 + self._others))

    def _trim(self) -> None:
        """Pass on what is more than this gateway's part."""
        over = self._left - self._part
        if over > 0:
            self._left -= over
            self._given += over
