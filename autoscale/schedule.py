"""Weekly windows that move the replica bounds: known peaks need no forecast.

Pure: the time is given as Unix seconds. Knows nothing of Ray.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S = 86_400
_MOST_OFFSET_H = 14.0  # the clocks of Kiritimati
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True)
class ScheduledBounds:
    """One weekly window. Times are seconds after midnight, UTC plus `utc_offset_s`."""

    days: frozenset[int]
    start_s: int
    end_s: int
    min_replicas: int | None = None
    max_replicas: int | None = None
    utc_offset_s: int = 0

    def covers(self, time_s: float) -> bool:
        """True inside the window; a window whose end is not after its start runs past midnight."""
        local_s = time_s + self.utc_offset_s
        day = (int(local_s // _DAY_S) + _EPOCH_WEEKDAY) % 7
        second = local_s % _DAY_S
        if self.start_s < self.end_s:
            return day in self.days and self.start_s <= second < self.end_s
        started_yesterday = (day - 1) % 7 in self.days and second < self.end_s
        return started_yesterday or (day in self.days and second >= self.start_s)

    def as_json(self) -> dict[str, Any]:
        """The entry that `parse_schedule` reads back to this window."""
        entry: dict[str, Any] = {
            "days": ",".join(DAY_NAMES[day] for day in sorted(self.days)),
            "from": f"{self.start_s // 3600:02d}:{self.start_s % 3600 // 60:02d}",
            "to": f"{self.end_s // 3600:02d}:{self.end_s % 3600 // 60:02d}",
            "utc_offset_hours": self.utc_offset_s / 3600,
        }
        bounds = {"min_replicas": self.min_replicas, "max_replicas": self.max_replicas}
        return entry | {key: value for key, value in bounds.items() if value is not None}


def scheduled_bounds(
    schedule: Iterable[ScheduledBounds], time_s: float, low: int, high: int
) -> tuple[int, int]:
    """The replica bounds at `time_s`: scheduled minima raise, maxima lower, inside [low, high]."""
    scheduled_low, scheduled_high = low, high
    for window in schedule:
        if window.covers(time_s):
            if window.min_replicas is not None:
                scheduled_low = max(scheduled_low, window.min_replicas)
            if window.max_replicas is not None:
                scheduled_high = min(scheduled_high, window.max_replicas)
    scheduled_high = max(low, min(high, scheduled_high))
    return min(scheduled_low, scheduled_high), scheduled_high


def parse_schedule(entries: Any) -> tuple[ScheduledBounds, ...]:
    """Windows from JSON such as `{"days": "mon-fri", "from": "08:00", "to": "18:00",
    "min_replicas": 8, "utc_offset_hours": 1}`.

    Raises: ValueError that names the entry and the mend.
    """
    if not isinstance(entries, list | tuple):
        raise ValueError(f"schedule: expected a list of windows, got {entries!r:.60}")
    return tuple(_parse_entry(index, entry) for index, entry in enumerate(entries))


def _parse_entry(index: int, entry: Any) -> ScheduledBounds:
    known = {"days", "from", "to", "min_replicas", "max_replicas", "utc_offset_hours"}
    where = f"schedule[{index}]"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: {entry!r:.60} is no window; give {', '.join(sorted(known))}")
    if unknown := sorted(set(entry) - known):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    low, high = entry.get("min_replicas"), entry.get("max_replicas")
    if low is None and high is None:
        raise ValueError(f"{where}: set min_replicas or max_replicas")
    for value in (low, high):
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"{where}: {value!r} is not a number of replicas")
    return ScheduledBounds(
        days=_parse_days(where, str(entry.get("days", "mon-sun"))),
        start_s=_parse_clock(where, entry.get("from", "00:00")),
        end_s=_parse_clock(where, entry.get("to", "24:00")),
        min_replicas=low,
        max_replicas=high,
        utc_offset_s=_parse_offset(where, entry.get("utc_offset_hours", 0.0)),
    )


def _parse_days(where: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAY_NAMES or (last or first) not in DAY_NAMES:
            raise ValueError(f"{where}: days {text!r}; write for example mon-fri or sat,sun")
        start, end = DAY_NAMES.index(first), DAY_NAMES.index(last or first)
        days.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(days)


def _parse_offset(where: str, value: Any) -> int:
    try:
        hours = float(value)
    except (TypeError, ValueError, OverflowError):
        hours = math.nan
    if not abs(hours) <= _MOST_OFFSET_H:
        raise ValueError(f"{where}: utc_offset_hours {value!r:.60}; write for example 1 or -5.5")
    return round(hours * 3600)


def _parse_clock(where: str, text: Any) -> int:
    if not isinstance(text, str):  # YAML takes 18:00 without quotes for 18 times 60
        raise ValueError(f'{where}: time {text!r:.60}; write "HH:MM" in quotes')
    hours, _, minutes = text.partition(":")
    if not (hours.isdigit() and minutes.isdigit() and int(minutes) < 60):
        raise ValueError(f"{where}: time {text!r}; write HH:MM")
    seconds = int(hours) * 3600 + int(minutes) * 60
    if seconds > _DAY_S:
        raise ValueError(f"{where}: time {text!r} is after 24:00")
    return seconds
