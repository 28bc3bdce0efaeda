"""A counter tells Ray all that was counted, and once."""

from typing import Any

import pytest

from deployments.accounting import counter
from deployments.accounting.counter import Counter


async def test_what_was_counted_is_told_once_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, dict[str, str]]] = []

    class Rays:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def inc(self, value: float, tags: dict[str, str]) -> None:
            told.append((value, tags))

    monkeypatch.setattr("ray.serve.metrics.Counter", Rays)
    monkeypatch.setattr(counter, "FLUSH_S", 3600)
    tokens = Counter("tokens", "Tokens.", ("tier", "kind"))
    for value, tier in ((3, "small"), (4, "small"), (5, "large"), (0, "none")):
        tokens.inc(value, {"kind": "prompt", "tier": tier})
    assert told == []
    tokens.flush()
    tokens.flush()
    assert told == [
        (7, {"tier": "small", "kind": "prompt"}),
        (5, {"tier": "large", "kind": "prompt"}),
    ]
    tokens.inc(1, {"kind": "prompt", "tier": "small"})
    tokens.flush()
    assert told[2:] == [(1, {"tier": "small", "kind": "prompt"})]
    with pytest.raises(KeyError):
        tokens.inc(1, {"tier": "small"})
