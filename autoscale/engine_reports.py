"""What the replicas say of themselves, made whole where some of them are silent.

Each replica counts its completions since it started. A replica seen for the first time, or again
after a silence, is a baseline and adds nothing: what it did before is not of this tick. While a
known replica is silent, those that speak stand for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

_REMEMBERED_S = 60.0  # a replica silent for longer has gone, or is the health check's concern


def is_count(value: object) -> bool:
    """True for a number that can be a count."""
    return isinstance(value, Real) and 0.0 <= float(value) < math.inf


class EngineReports:
    """Sums over replicas that neither jump nor fall when reports come, go and come back."""

    def __init__(self) -> None:
        self._counts: dict[Any, float] = {}
        self._heard_s: dict[Any, float] = {}
        self._completed = 0.0

    def completed(self, counts: Mapping[Any, float], running: int, time_s: float) -> float:
        """Completions in all, never falling; `running` replicas should report."""
        usable = {replica: float(n) for replica, n in counts.items() if is_count(n)}
        steps = {
            replica: max(0.0, count - self._counts[replica])
            for replica, count in usable.items()
            if replica in self._counts
        }
        self._counts = usable
        if steps:
            missing = self._missing(steps, running, time_s)
            self._completed += sum(steps.values()) * (len(steps) + missing) / len(steps)
        self._hear(usable, time_s)
        return self._completed

    def whole(self, values: Mapping[Any, float], running: int, time_s: float) -> float | None:
        """The sum over replicas, known ones that are silent taken for average ones."""
        if not values:
            return None
        missing = self._missing(values, running, time_s)
        return sum(values.values()) * (len(values) + missing) / len(values)

    def _missing(self, heard: Mapping[Any, float], running: int, time_s: float) -> int:
        known = {r for r, at in self._heard_s.items() if abs(time_s - at) <= _REMEMBERED_S}
        return max(0, min(len(known - set(heard)), running - len(heard)))

    def _hear(self, usable: Mapping[Any, float], time_s: float) -> None:
        self._heard_s |= dict.fromkeys(usable, time_s)
        self._heard_s = {
            r: at for r, at in self._heard_s.items() if abs(time_s - at) <= _REMEMBERED_S
        }
