"""What one gateway may use of one key's money and limits without asking. Pure; no clock of its own.

Amounts are nano-USD, times seconds on a clock that never jumps.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from deployments.accounting.turns import Granted
from deployments.settings.api_key import Limits
from deployments.store.leases import SPARE_OF_LEFT, Lease

# Unused money goes back when requests need less; what the busiest moment of late took stays, and
# fades by this factor with every report.
FADES = 0.7


class Need(NamedTuple):
    """What one request may cost at most, and how many tokens it counts for until it is over."""

    nano_usd: int
    tokens: int


@dataclass(slots=True)
class Hold:
    """What is held for one request, in the windows of one hour."""

    key_id: str
    hour: int
    nano_usd: int
    tokens: int
    # False: nothing is leased for it, because no cap binds or nobody could be asked.
    leased: bool


@dataclass(slots=True)
class _Leased:
    # Not yet spent, of which `used` is held for requests that run.
    nano_usd: int = 0
    used: int = 0

    @property
    def free(self) -> int:
        return self.nano_usd - self.used


@dataclass(slots=True)
class Purse:
    """The leases, and the part of this minute's limits, that a gateway holds of a key."""

    key_id: str
    leases: dict[int, _Leased] = field(default_factory=dict)
    hour: int = 0
    hour_ends_s: float = 0.0
    nano_usd_left: int = -1
    minute_ends_s: float = 0.0
    requests: int = 0
    requests_left: int = 0
    tokens: int = 0
    tokens_left: int = 0
    # Requests that may run at a time, as far as they are this gateway's; and those that do.
    slots: int = 0
    open: int = 0
    # Completion tokens of the last answers.
    lengths: deque[int] = field(default_factory=lambda: deque(maxlen=128))
    _taken: int = 0
    _recent: float = 0.0

    @property
    def free_nano_usd(self) -> int:
        """Leased and held for no request."""
        return sum(max(0, lease.free) for lease in self.leases.values())

    def covers(self, need: Need, limits: Limits, now_s: float, leased_until_s: float) -> bool:
        """Whether a request can be let through with what is here."""
        if need.nano_usd and (
            now_s >= min(self.hour_ends_s, leased_until_s)
            or self._lease(self.hour).free < need.nano_usd
        ):
            return False
        timed = limits.requests_per_minute or limits.tokens_per_minute
        if timed and now_s >= self.minute_ends_s:
            return False
        if limits.requests_per_minute and self.requests < 1:
            return False
        most = limits.tokens_per_minute
        if most and self.tokens < min(need.tokens, most):
            return False
        return not limits.max_parallel or self.open < self.slots

    def take(self, need: Need, limits: Limits, hour: int) -> Hold:
        """Hold what a request needs; `hour` is where it counts if nothing is leased for it."""
        leased = need.nano_usd > 0
        if leased:
            hour = self.hour
            self._lease(hour).used += need.nano_usd
            self._taken += need.nano_usd
        self.requests -= bool(limits.requests_per_minute)
        tokens = min(need.tokens, limits.tokens_per_minute or 0)
        self.tokens -= tokens
        self.open += 1
        return Hold(self.key_id, hour, need.nano_usd, tokens, leased)

    def extend(self, hold: Hold, nano_usd: int, leased_until_s: float, now_s: float) -> bool:
        """Hold more for a request, where that much is free; less always succeeds."""
        more = nano_usd - hold.nano_usd
        lease = self._lease(hold.hour) if hold.leased else None
        if lease is None:
            return True
        if more > 0 and (more > lease.free or now_s >= leased_until_s):
            return False
        lease.used += more
        hold.nano_usd = nano_usd
        return True

    def merge(self, hold: Hold, more: Hold) -> bool:
        """Make one hold of two of the same hour; one of another hour is dropped."""
        self.open -= 1
        if more.leased and (not hold.leased or more.hour != hold.hour):
            self._lease(more.hour).used -= more.nano_usd
            return False
        hold.nano_usd += more.nano_usd
        return True

    def settle(self, hold: Hold, nano_usd: int, tokens: int) -> None:
        """End a request that has cost so much."""
        self.open -= 1
        self.tokens += hold.tokens - min(hold.tokens, tokens)
        if hold.leased:
            lease = self._lease(hold.hour)
            lease.used -= hold.nano_usd
            lease.nano_usd -= nano_usd

    def granted(self, grant: Granted, now_s: float, limits: Limits) -> None:
        """Take what the owner has granted."""
        self.hour, self.hour_ends_s = grant.hour, now_s + grant.valid_s
        self._lease(grant.hour).nano_usd += grant.nano_usd
        self.nano_usd_left = grant.nano_usd_left
        if now_s + grant.minute_s > self.minute_ends_s + 1.0:
            self.minute_ends_s, self.requests, self.tokens = now_s + grant.minute_s, 0, 0
        self.requests += max(0, grant.requests)
        self.tokens += max(0, grant.tokens)
        self.requests_left, self.tokens_left = grant.requests_left, grant.tokens_left
        self.slots += bool(limits.max_parallel)

    def say(self) -> list[Lease]:
        """What this gateway keeps; the rest is given back with this word."""
        self.slots = self.open
        self._recent = max(self._taken, self._recent * FADES)
        self._taken = 0
        # Where little is left, others need it more than this gateway's next requests do.
        spare = min(int(self._recent), max(0, self.nano_usd_left) // SPARE_OF_LEFT)
        said = []
        for hour, lease in list(self.leases.items()):
            keep = spare if hour == self.hour else 0
            lease.nano_usd = lease.used + min(lease.free, keep)
            if not lease.nano_usd and not lease.used:
                del self.leases[hour]
            else:
                said.append(Lease(self.key_id, hour, max(0, lease.nano_usd)))
        return said

    def corrected(self, hour: int, nano_usd: int) -> None:
        """Take off what the owner does not let this gateway keep."""
        self._lease(hour).nano_usd += nano_usd

    def _lease(self, hour: int) -> _Leased:
        return self.leases.setdefault(hour, _Leased())
