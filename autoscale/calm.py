"""Immediate up, held down: turns what sizing asks for into a target that does not flap. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from autoscale.parameters import Parameters

_STARTUP_PATIENCE = 3.0  # start-ups; pods pending longer must not block scale-down (dynamo#14251)
_STARTUP_PATIENCE_MIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Calm:
    """Memory of past wishes."""

    since_s: float
    """When watching began: a scale-down needs a full window."""
    peaks: tuple[tuple[float, int], ...] = ()
    """(time, careful replicas) of wishes inside the window that no later wish exceeded."""
    starting_since_s: float | None = None
    idle_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What sizing asks for at one tick, in whole GPUs."""

    time_s: float
    replicas: int
    careful_replicas: int
    """What a scale-down must leave: the same with the tolerance added, but without the backlog,
    whose replicas may go as soon as it is worked off."""
    carrying_replicas: int
    """What the rate of now fills: those stay, however little the forecast expects."""
    constraint: str
    current: int
    target: int
    low: int
    high: int
    busy: bool
    blind: bool
    """Metrics are missing or stale: never scale down on them."""


def calm_down(wish: Wish, parameters: Parameters, calm: Calm) -> tuple[int, str, Calm]:
    """Replicas to run, the constraint that bound, and the memory for the next tick."""
    calm = _remember(wish, parameters, calm)
    if wish.replicas >= wish.target:
        replicas, constraint = wish.replicas, wish.constraint
    else:
        replicas, constraint = _down(wish, parameters, calm)
    if replicas < wish.low:
        return wish.low, "minimum", calm
    if replicas > wish.high:
        return wish.high, "maximum", calm
    return replicas, constraint, calm


def _down(wish: Wish, parameters: Parameters, calm: Calm) -> tuple[int, str]:
    if wish.blind:
        return wish.target, "metrics_missing"
    if _starting(wish, parameters, calm):
        return wish.target, "replicas_starting"
    idle = calm.idle_since_s
    idle_s = wish.time_s - idle if idle is not None and wish.replicas == 0 else 0.0
    if wish.low == 0 and idle_s > 0.0 and idle_s >= parameters.idle_to_zero_s:
        return 0, "idle"
    if wish.time_s - calm.since_s < parameters.hold_down_s:
        return wish.target, "warm_up"
    # Down to zero is `idle` alone; above it a paid GPU is filled.
    least = parameters.replicas_per_gpu
    peak = max(calm.peaks[0][1], wish.replicas, wish.carrying_replicas, least)
    if peak >= wish.target:
        return wish.target, "hold_down" if wish.careful_replicas < wish.target else "tolerance"
    return peak, "demand"


def _starting(wish: Wish, parameters: Parameters, calm: Calm) -> bool:
    """Measured by the prior: what is learnt may hold a wait for hardware, which this must end."""
    if calm.starting_since_s is None:
        return False
    patience_s = max(_STARTUP_PATIENCE_MIN_S, _STARTUP_PATIENCE * parameters.startup_prior_s)
    return wish.time_s - calm.starting_since_s < patience_s


def _remember(wish: Wish, parameters: Parameters, calm: Calm) -> Calm:
    """Push the wish on the falling staircase of peaks; drop what left the window."""
    peaks = list(calm.peaks)
    while peaks and peaks[-1][1] <= wish.careful_replicas:
        peaks.pop()
    peaks.append((wish.time_s, wish.careful_replicas))
    oldest_s = wish.time_s - parameters.hold_down_s
    while len(peaks) > 1 and peaks[0][0] < oldest_s:
        peaks.pop(0)
    starting = calm.starting_since_s
    starting = (
        (wish.time_s if starting is None else starting) if wish.current < wish.target else None
    )
    idle = calm.idle_since_s
    idle = None if wish.busy else (wish.time_s if idle is None else idle)
    return Calm(calm.since_s, tuple(peaks), starting, idle)
