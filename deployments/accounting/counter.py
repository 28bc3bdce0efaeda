"""A counter that Ray is told of once a second: Ray takes some 50 µs a call, and a request counts
half a dozen things (128 streams at once, bench/overhead/relay)."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from ray.serve import metrics

FLUSH_S = 1.0


class Counter:
    """`ray.serve.metrics.Counter`, told late; for the event loop's thread alone."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...] = ()) -> None:
        self._counter = metrics.Counter(name, description, tag_keys=tag_keys)
        self._tag_keys = tag_keys
        self._pending: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._timer: asyncio.TimerHandle | None = None

    def inc(self, value: float = 1.0, tags: Mapping[str, str] | None = None) -> None:
        """Count; nothing where `value` is 0. Raises: `KeyError` where a tag is missing."""
        given = tags or {}
        self._pending[tuple(given[key] for key in self._tag_keys)] += value
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Tell Ray now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        pending = list(self._pending.items())
        self._pending.clear()
        for values, count in pending:
            if count > 0:  # Ray's refuses 0
                self._counter.inc(count, dict(zip(self._tag_keys, values, strict=True)))
