"""Sessions that went large stay large: a switch in mid-conversation costs quality and cache."""

from collections import OrderedDict


class Sessions:
    """Remembers which sessions were escalated, for `ttl_s` after their last request.

    Held per gateway replica and bounded: it is a preference, so losing an entry loses nothing but
    the preference.
    """

    def __init__(self, ttl_s: float, capacity: int = 100_000) -> None:
        self._ttl_s = ttl_s
        self._capacity = capacity
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_large(self, session: str | None, now_s: float) -> bool:
        """Whether this session was escalated and is still warm."""
        if session is None:
            return False
        last = self._seen.get(session)
        return last is not None and now_s - last <= self._ttl_s

    def went_large(self, session: str | None, now_s: float) -> None:
        """Remember an escalation."""
        if session is None:
            return
        self._seen[session] = now_s
        self._seen.move_to_end(session)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
