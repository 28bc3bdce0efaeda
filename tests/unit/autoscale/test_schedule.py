"""Scheduled bounds: weekly windows, midnight, offsets, bad entries."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from autoscale.parameters import Parameters
from autoscale.schedule import parse_schedule, scheduled_bounds


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


WORK = parse_schedule([{"days": "mon-fri", "from": "08:00", "to": "18:00", "min_replicas": 6}])
NIGHT = parse_schedule([{"days": "fri", "from": "22:00", "to": "06:00", "max_replicas": 3}])
CET = parse_schedule(
    [{"days": "mon", "from": "08:00", "to": "09:00", "min_replicas": 6, "utc_offset_hours": 1}]
)


@pytest.mark.parametrize(
    ("schedule", "time", "bounds"),
    [
        (WORK, "2026-11-23 07:59:59", (1, 9)),
        (WORK, "2026-11-23 08:00:00", (6, 9)),
        (WORK, "2026-11-23 18:00:00", (1, 9)),
        (WORK, "2026-11-22 12:00:00", (1, 9)),
        (NIGHT, "2026-11-27 22:00:00", (1, 3)),
        (NIGHT, "2026-11-28 05:59:00", (1, 3)),
        (NIGHT, "2026-11-28 06:00:00", (1, 9)),
        (NIGHT, "2026-11-27 05:00:00", (1, 9)),
        (CET, "2026-11-23 07:30:00", (6, 9)),
        (CET, "2026-11-23 08:30:00", (1, 9)),
    ],
)
def test_a_window_moves_the_bounds_inside_it_only(
    schedule: tuple[object, ...], time: str, bounds: tuple[int, int]
) -> None:
    assert scheduled_bounds(schedule, at(time), 1, 9) == bounds  # type: ignore[arg-type]  # table


def test_the_schedule_never_leaves_rays_bounds() -> None:
    wild = parse_schedule([{"min_replicas": 50}, {"max_replicas": 0}])
    assert scheduled_bounds(wild, 0.0, 2, 9) == (2, 2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"days": "monday", "min_replicas": 1}, "write for example mon-fri"),
        ({"from": "8", "min_replicas": 1}, "write HH:MM"),
        ({"to": "25:00", "min_replicas": 1}, "after 24:00"),
        ({"days": "mon"}, "set min_replicas or max_replicas"),
        ({"min_replicas": -1}, "not a number of replicas"),
        ({"min": 1}, "unknown key 'min'"),
        ({"from": 1080, "min_replicas": 1}, "in quotes"),  # 18:00 as YAML reads it
        ({"min_replicas": True}, "True is not a number of replicas"),
        ({"utc_offset_hours": "CET", "min_replicas": 1}, "utc_offset_hours 'CET'; write"),
        ({"utc_offset_hours": float("nan"), "min_replicas": 1}, "utc_offset_hours nan"),
    ],
)
def test_bad_entries_are_refused_with_the_mend(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_schedule([entry])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slo_wait": 1}, "slo_wait: unknown setting; known are"),
        ({"late_fraction": 0.9}, "late_fraction: 0.9 is outside"),
        ({"slo_wait_s": float("nan")}, "slo_wait_s"),
        ({"slo_wait_s": "2"}, "expected a number"),
        ({"slots_per_replica": 2.5}, "not a whole number"),
        ({"colocation_curve": [1, 2]}, "one entry for each of replicas_per_gpu=1"),
        ({"colocation_curve": [2, 1], "replicas_per_gpu": 2}, "never fall"),
        ({"colocation_curve": [float("nan")]}, "must be positive"),
        ({"colocation_curve": 3}, "colocation_curve: expected a list of numbers, got 3"),
        ({"slots_per_replica": float("inf")}, "slots_per_replica: inf is outside"),
        ({"slots_per_replica": "many"}, "slots_per_replica: expected a number"),
        ({"shadow": "no"}, "shadow: expected true or false, got 'no'"),
        ({"require_engine_metrics": None}, "require_engine_metrics: expected true or false"),
        ({"journal_path": 3}, "journal_path: expected text, got 3"),
        ({"schedule": None}, "schedule: expected a list of windows, got None"),
        ({"schedule": {"days": "mon"}}, "schedule: expected a list of windows"),
        ({"schedule": ["mon"]}, r"schedule\[0\]: 'mon' is no window"),
    ],
)
def test_bad_settings_name_the_key(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameters.from_kwargs(settings)
