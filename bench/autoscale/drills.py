"""The production policy with faults planted in what it sees, for drills on a live cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from autoscale.policy import QueueDepthPolicy


class Seen:
    """Ray's context with some fields replaced."""

    def __init__(self, ctx: Any, changes: dict[str, Any]) -> None:
        self._ctx, self._changes = ctx, changes

    def __getattr__(self, name: str) -> Any:
        if name in self._changes:
            value = self._changes[name]
            if isinstance(value, Exception):
                raise value
            return value
        return getattr(self._ctx, name)


FAULTS: dict[str, dict[str, Any]] = {
    "nan_handles": {"total_num_requests": float("nan")},
    "negative_handles": {"total_num_requests": -7.0, "total_queued_requests": -7.0},
    "nan_engines": {"aggregated_metrics": {"engine_running": {"a": float("nan")}}},
    "negative_engines": {"aggregated_metrics": {"engine_running": {"a": -3.0}}},
    "missing_engines": {"aggregated_metrics": {}, "total_num_requests": 0.0},
    "no_metrics_at_all": {"aggregated_metrics": None, "total_num_requests": None},
    "wrong_types": {"aggregated_metrics": "nonsense"},
    "raises": {"total_num_requests": RuntimeError("planted")},
}


class DrillPolicy(QueueDepthPolicy):
    """Reads the name of the present fault from a file at each tick."""

    def __init__(self, drill_file: str, **policy_kwargs: Any) -> None:
        super().__init__(**policy_kwargs)
        self._drill_file = Path(drill_file)

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """The decision under the present fault."""
        fault = self._drill_file.read_text(encoding="utf-8").strip()
        if fault == "core_raises":
            with mock.patch("autoscale.policy.decide", side_effect=ZeroDivisionError("planted")):
                return super().__call__(ctx)
        if fault in ("clock_back", "clock_ahead"):
            jump_s = -7200.0 if fault == "clock_back" else 7200.0
            return super().__call__(Seen(ctx, {"current_time": ctx.current_time + jump_s}))
        return super().__call__(Seen(ctx, FAULTS.get(fault, {})))


ALL = (*FAULTS, "core_raises", "clock_back", "clock_ahead")
