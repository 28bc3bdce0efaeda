"""What the autoscaler sees at one tick, and how wrong numbers are made harmless.

Plain floats, so that one observation is one JSON object and can be replayed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Observation:
    """One tick of one deployment. Counts are requests; `None` means not reported."""

    time_s: float
    """Unix seconds."""
    total_requests: float
    """In the system: queued at the handles plus sent to replicas."""
    queued: float
    """Waiting at the handles for a free slot."""
    current_replicas: int
    """Running, able to serve."""
    target_replicas: int
    """Asked for last; the difference to `current_replicas` is starting."""
    min_replicas: int
    max_replicas: int
    engine_waiting: float | None = None
    """Summed over replicas: accepted by the engine, not yet in its batch."""
    engine_running: float | None = None
    """Summed over replicas: in the batch."""
    kv_cache_usage: float | None = None
    """Mean over replicas, in [0, 1]."""
    completed_total: float | None = None
    """Requests finished since the autoscaler started, over all replicas; never falls."""
    reporting_replicas: int = 0
    """Replicas whose engine metrics are fresh."""


def clean(seen: Observation) -> tuple[Observation, tuple[str, ...]]:
    """A copy in which every number is usable, and the names of the fields that were not.

    Counts that are not finite or negative become "not reported" (engine) or NaN (handles), which
    `decide` answers by holding. Replica counts and bounds become non-negative and ordered.
    """
    faults = tuple(limit[0] for limit in _LIMITS if not _acceptable(getattr(seen, limit[0]), limit))
    if not faults and seen.min_replicas <= seen.max_replicas:
        return seen, ()
    usable = {name: getattr(seen, name) for name in _FIELDS if name not in faults}
    low = int(usable.get("min_replicas", 0))
    current = int(usable.get("current_replicas", 0))
    target = int(usable.get("target_replicas", current))
    high = int(usable.get("max_replicas", target))
    repaired: dict[str, Any] = dict.fromkeys(("time_s", "total_requests", "queued"), math.nan)
    repaired |= usable
    repaired |= {
        "current_replicas": current,
        "target_replicas": target,
        "min_replicas": low,
        "max_replicas": max(low, high),
        "reporting_replicas": int(usable.get("reporting_replicas", 0)),
    }
    return Observation(**repaired), faults


_FIELDS = tuple(field.name for field in fields(Observation))
_HUGE = 1e12  # no count of requests or replicas is larger; sums and products stay finite
_OPTIONAL = frozenset({"engine_waiting", "engine_running", "kv_cache_usage", "completed_total"})
_Limit = tuple[str, float, float, bool]


def _limit(name: str) -> _Limit:
    """Name, least and greatest value of a field, and whether it may be missing."""
    low = -_HUGE if name == "time_s" else 0.0
    high = 1.0 if name == "kv_cache_usage" else _HUGE
    return name, low, high, name in _OPTIONAL


_LIMITS = tuple(map(_limit, _FIELDS))


def _acceptable(value: Any, limit: _Limit) -> bool:
    if value is None:
        return limit[3]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return limit[1] <= value <= limit[2]  # false for NaN
