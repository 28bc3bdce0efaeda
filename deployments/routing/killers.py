"""Requests under which engines died: refused for a while, so that a retry kills no more of them."""

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from deployments.routing.sharing import Remembered

# Of two deaths one may have been another's doing: whoever was on that engine died with it.
DEATHS = 2
# The first refusal outlasts a client's retries and an engine's start; each death more doubles it.
REFUSED_S = 60.0
LONGEST_S = 3600.0
# How an answer is delivered kills nobody; a client that asks again may ask for another delivery.
DELIVERY = frozenset({"model", "stream", "stream_options"})


class Killers:
    """Counts deaths by a request's prints, bounded in number and time."""

    def __init__(self, capacity: int = 1000) -> None:
        # Deaths, and when the last one was.
        self.deaths = Remembered(capacity)

    def __len__(self) -> int:
        return len(self.deaths)

    def died(self, prints: Iterable[bytes], deaths: int, now_s: float) -> None:
        """Count engines that died while they held the request."""
        for print_ in prints:
            before = self.deaths.get(print_)
            fresh = before is not None and now_s - before.stamp_s <= LONGEST_S
            self.deaths.put(print_, deaths + (before.value if before and fresh else 0), now_s)

    def refused_s(self, prints: Iterable[bytes], now_s: float) -> float:
        """For how much longer the request is refused; 0: it is not."""
        return max((self._left_s(print_, now_s) for print_ in prints), default=0.0)

    def _left_s(self, print_: bytes, now_s: float) -> float:
        known = self.deaths.get(print_)
        deaths: int = known.value if known else 0
        if known is None or deaths < DEATHS:
            return 0.0
        refused_s = min(REFUSED_S * 2.0 ** min(deaths - DEATHS, 16), LONGEST_S)
        return max(0.0, known.stamp_s + refused_s - now_s)


def prints_of(caller: bytes, request_id: str, endpoint: str, body: dict[str, Any]) -> list[bytes]:
    """What a request is known by when it comes again: its caller's id for it, and what it says."""
    what = {name: value for name, value in body.items() if name not in DELIVERY}
    said = orjson.dumps([endpoint, what], option=orjson.OPT_SORT_KEYS)
    return [
        hashlib.blake2b(request_id.encode(), digest_size=16, key=caller[:64]).digest(),
        hashlib.blake2b(said, digest_size=16).digest(),
    ]
