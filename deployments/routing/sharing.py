"""What gateways share, as state that may be said twice: each says what it knows and takes over what
the others say, in any order and however often.

Two kinds are enough. A summary is small and said whole each time: each gateway keeps its own, and
adds up what the others said. Remembered entries are many, and travel once each; the newest wins.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

# A gateway that has said nothing for so long is not there, seconds.
LIVE_S = 5.0
# Gateways of which is remembered what they said last: all that the board still tells of, and more.
MOST_KNOWN = 200


class Said(NamedTuple):
    """What another gateway said of itself, and how long ago, seconds."""

    gateway: str
    age_s: float
    summary: Any

    @property
    def live(self) -> bool:
        """Whether that gateway is still there."""
        return self.age_s <= LIVE_S


def remember(known: dict[str, Any], told: Mapping[str, Any]) -> None:
    """Take over what gateways said last. One that is not there just now may come back, and what it
    said before must not count again; of those that are gone the ones heard longest ago are dropped.
    """
    for gateway, summary in told.items():
        known.pop(gateway, None)
        known[gateway] = summary
    for gateway in list(known)[:-MOST_KNOWN]:
        del known[gateway]


class Summary(Protocol):
    """A part of the shared state whose whole is the sum of what each gateway says."""

    def say(self) -> Any:
        """This gateway's own summary: plain and small; counts since its start, so that a summary
        that is lost or comes twice changes nothing."""

    def hear(self, others: Sequence[Said]) -> None:
        """Take over what the others said last, those that are gone by now among them."""


class Entry(NamedTuple):
    """One thing to remember; `stamp_s` is when it was so, on this process's clock."""

    key: bytes
    value: Any
    stamp_s: float


class Remembered:
    """Values by key, the newest of each, at most `capacity`; knows which of them are news."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # The one that was put or heard longest ago comes first.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._news: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        """What is remembered under the key."""
        return self._entries.get(key)

    def put(self, key: bytes, value: Any, now_s: float) -> None:
        """Remember it; the other gateways are to hear of it."""
        self._keep(Entry(key, value, now_s))
        self._news[key] = None

    def drop_before(self, stamp_s: float) -> None:
        """Forget what is older, as far as it comes first."""
        while self._entries and next(iter(self._entries.values())).stamp_s < stamp_s:
            self._forget()

    def news(self, limit: int) -> list[Entry]:
        """What the others have not heard of yet, at most `limit`; it stays news until `said`."""
        keys = [key for key, _ in zip(self._news, range(limit), strict=False)]
        return [self._entries[key] for key in keys]

    def said(self, entries: Iterable[Entry]) -> None:
        """These were heard; what has changed since is news again."""
        for entry in entries:
            if self._entries.get(entry.key) == entry:
                self._news.pop(entry.key, None)

    def hear(self, entries: Iterable[Entry]) -> None:
        """Take over what is newer than what is known here."""
        for entry in entries:
            known = self._entries.get(entry.key)
            if known is None or known.stamp_s < entry.stamp_s:
                self._news.pop(entry.key, None)
                self._keep(entry)

    def renew(self) -> None:
        """Everything is news: whoever was told has forgotten it."""
        self._news = OrderedDict.fromkeys(self._entries)

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._entries.move_to_end(entry.key)
        while len(self._entries) > self._capacity:
            self._forget()

    def _forget(self) -> None:
        key, _ = self._entries.popitem(last=False)
        self._news.pop(key, None)


class Shares(Protocol):
    """A gateway's state as an exchange sees it; a part is shared by being in one of the two."""

    @property
    def summaries(self) -> Mapping[str, Summary]:
        """The parts that are said whole."""

    @property
    def entries(self) -> Mapping[str, Remembered]:
        """The parts of which news are said."""
