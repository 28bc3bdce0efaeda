"""The Board deployment: where gateways leave what the others should know, one small process beside
the path of requests. It keeps and passes on; what any of it means the gateways know.

Nothing is lost with it: each gateway says what it knows to a new one.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

# What gateways and board say to each other; another one is another deployment.
FORMAT = 1
# Entries of all kinds together: sessions and turns of half an hour, 30 MB at most.
CAPACITY = 100_000
# Entries in one answer, so that nobody waits on a long one.
MOST_ENTRIES = 2_000
# How long a gateway's last words are kept, and of how many gateways.
KEPT_S = 3600.0
MOST_GATEWAYS = 100


class _Kept(NamedTuple):
    number: int
    stamp_s: float
    value: Any
    gateway: str


class Board:
    """What each gateway said last, and the newest entry under each key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Who sees another mark knows that this board has heard nothing from it.
        self._mark = secrets.token_hex(8)
        self._number = 0
        self._said: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        # By kind and key, the one that was said last comes last.
        self._entries: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()

    async def exchange(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take over what a gateway says; its answer is what the others said.

        `asked`: `gateway`, its `summaries` by name, `entries` as (kind, key, value, age in
        seconds), and the `mark` and `seen` of the answer before. The answer has the same fields,
        `summaries` of the others as (gateway, age, summaries), and `more` where it is not all.
        """
        now_s, gateway = self._clock(), asked["gateway"]
        self._said[gateway] = (now_s, asked["summaries"])
        self._said.move_to_end(gateway)
        self._drop(now_s)
        for kind, key, value, age_s in asked["entries"]:
            self._keep(kind, key, value, gateway, now_s - age_s)
        seen = asked["seen"] if asked["mark"] == self._mark else 0
        fresh = self._after(seen)
        told = fresh[:MOST_ENTRIES]
        return {
            "mark": self._mark,
            "seen": told[-1][1].number if told else seen,
            "more": len(fresh) > len(told),
            "summaries": [
                (other, now_s - said_s, said)
                for other, (said_s, said) in self._said.items()
                if other != gateway
            ],
            "entries": [
                (kind, key, kept.value, now_s - kept.stamp_s)
                for (kind, key), kept in told
                if kept.gateway != gateway
            ],
        }

    def _keep(self, kind: str, key: bytes, value: Any, gateway: str, stamp_s: float) -> None:
        known = self._entries.get((kind, key))
        if known is not None and known.stamp_s >= stamp_s:
            return
        self._number += 1
        self._entries[kind, key] = _Kept(self._number, stamp_s, value, gateway)
        self._entries.move_to_end((kind, key))
        if len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)

    def _after(self, seen: int) -> list[tuple[tuple[str, bytes], _Kept]]:
        newest_first = reversed(self._entries.items())
        return list(takewhile(lambda item: item[1].number > seen, newest_first))[::-1]

    def _drop(self, now_s: float) -> None:
        while len(self._said) > MOST_GATEWAYS or self._oldest_s() < now_s - KEPT_S:
            self._said.popitem(last=False)

    def _oldest_s(self) -> float:
        return next(iter(self._said.values()))[0]
