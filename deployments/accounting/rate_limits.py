"""Requests and tokens a minute and requests at a time, of each key and over all gateways.

Held in the owner's memory: after its restart a minute begins anew.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from deployments.settings.api_key import Limits

MINUTE_S = 60.0
# A grant may run ahead of the request that asks by this part of the limit, and of what is left.
SPARE_OF_LIMIT = 20
SPARE_OF_LEFT = 8
NO_LIMIT = -1


class Allowed(NamedTuple):
    """What a gateway may use in this minute, and what is left of it; -1: without a limit."""

    requests: int
    requests_left: int
    tokens: int
    tokens_left: int
    minute_s: float


class Short(NamedTuple):
    """Which limit has no room, and when it may have."""

    lacks: str
    limit: int
    left: int
    retry_after_s: float


@dataclass(slots=True)
class _Use:
    minute: int = 0
    requests: int = 0
    tokens: int = 0
    # Requests under way, by gateway.
    parallel: dict[str, int] = field(default_factory=dict)


class RateLimits:
    """What was used of each key's limits."""

    def __init__(self) -> None:
        self._used = defaultdict[str, _Use](_Use)

    def said(self, gateway: str, parallel: dict[str, int]) -> None:
        """Take note of all that a gateway has under way."""
        for key_id in [key for key, use in self._used.items() if gateway in use.parallel]:
            del self._used[key_id].parallel[gateway]
        for key_id, count in parallel.items():
            self._used[key_id].parallel[gateway] = count

    def short(self, key_id: str, limits: Limits, tokens: int, now_s: float) -> Short | None:
        """What a request of so many tokens lacks; None: `take` may let it through.

        A request of more tokens than a whole minute has is let through alone: it could never be.
        """
        use, minute_s = self._now(key_id, now_s)
        most = limits.requests_per_minute
        if most is not None and use.requests >= most:
            return Short("requests", most, 0, minute_s)
        most = limits.tokens_per_minute
        if most is not None and use.tokens + min(tokens, most) > most:
            return Short("tokens", most, most - use.tokens, minute_s)
        most = limits.max_parallel
        if most is not None and sum(use.parallel.values()) >= most:
            return Short("parallel", most, 0, 1.0)
        return None

    def take(self, gateway: str, key_id: str, limits: Limits, tokens: int, now_s: float) -> Allowed:
        """Let one request of so many tokens through, and some ahead."""
        use, minute_s = self._now(key_id, now_s)
        requests, requests_left = _ahead(limits.requests_per_minute, use.requests, 1)
        most = limits.tokens_per_minute
        given, tokens_left = _ahead(most, use.tokens, min(tokens, most or tokens))
        use.requests += max(0, requests)
        use.tokens += max(0, given)
        if limits.max_parallel is not None:
            use.parallel[gateway] = use.parallel.get(gateway, 0) + 1
        return Allowed(requests, requests_left, given, tokens_left, minute_s)

    def _now(self, key_id: str, now_s: float) -> tuple[_Use, float]:
        """What was used in the minute that runs, and how long that still lasts."""
        use, minute = self._used[key_id], int(now_s // MINUTE_S)
        if use.minute < minute:
            use.minute, use.requests, use.tokens = minute, 0, 0
        # A clock that steps back gives no minute anew. One that was set back far keeps what was
        # used to the end of the next minute, instead of until it is there again.
        use.minute = min(use.minute, minute + 1)
        return use, (use.minute + 1) * MINUTE_S - now_s


def _ahead(limit: int | None, used: int, need: int) -> tuple[int, int]:
    """How much is given, which is at least the need, and what is left then."""
    if limit is None:
        return NO_LIMIT, NO_LIMIT
    left = limit - used - need
    spare = max(0, min(limit // SPARE_OF_LIMIT, left // SPARE_OF_LEFT) - need)
    return need + spare, left - spare
