"""What the replicas say of themselves, made whole where some of them are silent.

Each replica counts its completions since it started. A replica seen for the first time, or again
after a silence, is a baseline and adds nothing: what it did before is not of this tick. While a
known replica is silent, the mean rate of the last half minute stands for it: what the others did in
this tick would multiply their chance. A report that comes late counts less than the one before it;
the highest was true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

_REMEMBERED_S = 60.0  # a replica silent for longer has gone, or is the health check's concern
_RATE_MEMORY_S = 30.0  # a silent replica is taken to do what the mean one did for so long
_LATEST_S = 10.0  # a count that falls by more than so long makes is no late report but a new one


def is_count(value: object) -> bool:
    """True for a number that can be a count."""
    return isinstance(value, Real) and 0.0 <= float(value) < math.inf


class EngineReports:
    """Sums over replicas that neither jump nor fall when reports come, go and come back."""

    def __init__(self) -> None:
        self._counts: dict[Any, float] = {}
        self._heard_s: dict[Any, float] = {}
        self._completed = 0.0
        self._time_s: float | None = None
        self._mean_rps = 0.0
        self._watched_s = 0.0

    def completed(self, counts: Mapping[Any, float], running: int, time_s: float) -> float:
        """Completions in all, never falling; `running` replicas should report."""
        usable = {replica: float(n) for replica, n in counts.items() if is_count(n)}
        known = {replica: self._counts[replica] for replica in usable if replica in self._counts}
        steps = [max(0.0, usable[replica] - count) for replica, count in known.items()]
        late = _LATEST_S * self._mean_rps
        self._counts = usable | {
            replica: count
            for replica, count in known.items()
            if count - late <= usable[replica] < count
        }
        elapsed_s = self._elapsed_s(time_s)
        if steps:
            self._watch(sum(steps) / len(steps), elapsed_s)
            silent = self._missing(known, running, time_s)
            self._completed += sum(steps) + silent * self._mean_rps * elapsed_s
        self._hear(usable, time_s)
        return self._completed

    def _elapsed_s(self, time_s: float) -> float:
        """Seconds since the last reports; 0 across a gap or a step of the clock."""
        before_s, self._time_s = self._time_s, time_s
        elapsed_s = 0.0 if before_s is None else time_s - before_s
        return elapsed_s if 0.0 <= elapsed_s <= _REMEMBERED_S else 0.0

    def _watch(self, done: float, elapsed_s: float) -> None:
        """Take what the mean replica did into its rate."""
        if elapsed_s > 0.0:
            self._watched_s = min(_RATE_MEMORY_S, self._watched_s + elapsed_s)
            gain = min(1.0, elapsed_s / self._watched_s)
            self._mean_rps += (done / elapsed_s - self._mean_rps) * gain

    def whole(self, values: Mapping[Any, float], running: int, time_s: float) -> float | None:
        """The sum over replicas, known ones that are silent taken for average ones."""
        usable = {replica: float(n) for replica, n in values.items() if is_count(n)}
        if not usable:  # none, or what `clean` is to refuse
            return math.nan if values else None
        missing = self._missing(usable, running, time_s)
        return sum(usable.values()) * (len(usable) + missing) / len(usable)

    def _missing(self, heard: Mapping[Any, float], running: int, time_s: float) -> int:
        known = {r for r, at in self._heard_s.items() if abs(time_s - at) <= _REMEMBERED_S}
        return max(0, min(len(known - set(heard)), running - len(heard)))

    def _hear(self, usable: Mapping[Any, float], time_s: float) -> None:
        self._heard_s |= dict.fromkeys(usable, time_s)
        self._heard_s = {
            r: at for r, at in self._heard_s.items() if abs(time_s - at) <= _REMEMBERED_S
        }
