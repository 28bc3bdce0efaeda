"""What an operator sets for one deployment's autoscaling, with units, reasons and checks.

Filled from `policy_kwargs` in `serve_config.yaml`. Knows nothing of Ray.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from autoscale.schedule import ScheduledBounds, parse_schedule


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of one deployment. Every field may be named in `policy_kwargs`."""

    slo_wait_s: float = 2.0
    """Longest acceptable wait for a slot, seconds: the part of TTFT that scaling can change."""

    late_fraction: float = 0.01
    """Accepted P(wait > slo_wait_s) in [1e-6, 0.5]; 0.01 is a 99% objective."""

    slots_per_replica: int = 16
    """Requests one replica serves at once: its `max_ongoing_requests`, near the useful batch."""

    service_prior_s: float = 6.0
    """Mean seconds a request holds a slot, believed until enough requests have been measured."""

    startup_prior_s: float = 60.0
    """Seconds from asking for a replica to its first request, believed until measured."""

    replicas_per_gpu: int = 1
    """Replicas that share one GPU (or one pod): the quantum that is paid for."""

    colocation_curve: tuple[float, ...] = ()
    """C(k): throughput of k replicas on one GPU, relative to one alone. Empty means C(k) = k."""

    hold_down_s: float = 300.0
    """A scale-down needs this many seconds in which no larger number was needed."""

    tolerance_fraction: float = 0.02
    """Survivors of a scale-down must have this much capacity to spare, so noise cannot flap.

    On top of twice the margin that staffing keeps for burstiness."""

    warm_spare_replicas: int = 0
    """Replicas kept above the computed need, for spikes faster than a start-up."""

    drain_s: float = 15.0
    """A backlog larger than the SLO allows is to be worked off in this many seconds."""

    kv_ceiling_fraction: float = 0.95
    """Mean KV cache use above which more replicas are asked for, whatever the rate says."""

    idle_to_zero_s: float = 300.0
    """With `min_replicas: 0`: seconds without any request before the last replica goes."""

    require_engine_metrics: bool = True
    """Hold downscales while replicas report no engine counters. False for plain deployments."""

    schedule: tuple[ScheduledBounds, ...] = ()
    """Weekly windows that raise the minimum or lower the maximum number of replicas."""

    journal_path: str = ""
    """File that gets one JSON line a decision; empty writes none."""

    shadow: bool = False
    """Log and export what would be decided, but let Ray's default decision stand."""

    shadow_target_ongoing_requests: float = 0.0
    """In shadow mode, Ray's `target_ongoing_requests`; 0 keeps the number of replicas."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning. Raises: ValueError naming the key and the range."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name}: expected a number, got {value!r}")
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{name}: {value!r} is outside [{low}, {high}]")
        for name, kind in _KINDS.items():
            if not isinstance(getattr(self, name), kind):
                said = "text" if kind is str else "true or false"
                raise ValueError(f"{name}: expected {said}, got {getattr(self, name)!r:.60}")
        curve = self.colocation_curve
        if curve and len(curve) != self.replicas_per_gpu:
            raise ValueError(
                f"colocation_curve: needs one entry for each of replicas_per_gpu="
                f"{self.replicas_per_gpu}, got {len(curve)}"
            )
        falls = any(b < a for a, b in itertools.pairwise(curve))
        if falls or not all(0 < c < math.inf for c in curve):
            raise ValueError("colocation_curve: must be positive and never fall")

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> Parameters:
        """Parameters from JSON values.

        Raises: ValueError naming the unknown or wrong key.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(kwargs) - known)
        if unknown:
            raise ValueError(f"{unknown[0]}: unknown setting; known are {', '.join(sorted(known))}")
        values = dict(kwargs)
        if "schedule" in values:
            values["schedule"] = parse_schedule(values["schedule"])
        if "colocation_curve" in values:
            values["colocation_curve"] = _numbers("colocation_curve", values["colocation_curve"])
        found = cls(**values)
        for name in ("slots_per_replica", "replicas_per_gpu", "warm_spare_replicas"):
            if getattr(found, name) % 1:
                raise ValueError(f"{name}: {values[name]!r} is not a whole number")
        return found


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: expected a list of numbers, got {values!r:.60}") from None


_KINDS: dict[str, type] = {"journal_path": str, "shadow": bool, "require_engine_metrics": bool}
_DAY_S = 86_400.0
_RANGES: dict[str, tuple[float, float]] = {
    "slo_wait_s": (0.0, _DAY_S),
    "late_fraction": (1e-6, 0.5),
    "slots_per_replica": (1, 100_000),
    "service_prior_s": (1e-4, _DAY_S),
    "startup_prior_s": (0.0, _DAY_S),
    "replicas_per_gpu": (1, 64),
    "hold_down_s": (0.0, _DAY_S),
    "tolerance_fraction": (0.0, 1.0),
    "warm_spare_replicas": (0, 10_000),
    "drain_s": (1.0, _DAY_S),
    "kv_ceiling_fraction": (0.05, 1.0),
    "idle_to_zero_s": (0.0, _DAY_S),
    "shadow_target_ongoing_requests": (0.0, 1e9),
}
