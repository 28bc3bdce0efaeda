"""What is remembered of a deployment from tick to tick, and what of it survives a break.

A break is a silence (Ray does not call the policy while it starts from zero, or while its
controller is down) or a step of the clock. It says nothing about service times, burstiness or
bursts, so those stay; what was counted across it is worth nothing. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoscale.calm import Calm
from autoscale.capacity import Capacity, learnt_startup
from autoscale.demand import Demand
from autoscale.forecast import BUCKET_S, LONG_BUCKETS
from autoscale.observation import Observation

GAP_S = 60.0
"""A longer silence between two ticks hides too much to share its arrivals out evenly."""

SETTLING_S = 30.0
"""Longest wait for the reports of all replicas after a break; Ray's come each second."""

_HANDLES_S = 5.0  # handles report each second too, but nobody says how many there are


@dataclass(frozen=True, slots=True)
class State:
    """Everything remembered between two ticks of one deployment. JSON-able."""

    demand: Demand
    capacity: Capacity
    calm: Calm
    drained_by_s: float | None = None
    """When the backlog that is waited out should be gone; None while there is none."""


def is_break(demand: Demand, time_s: float) -> bool:
    """True if the time since the last tick is no time in which arrivals were counted."""
    return demand.restored or time_s < demand.time_s or time_s - demand.time_s > GAP_S


def resumed(state: State, observation: Observation) -> State:
    """The state after a break: learnt values kept, counters begun anew, scale-down held.

    A clock that went back takes every remembered time with it. After a silence the hold begins
    anew, and arrivals older than their own ten minutes are forgotten.
    """
    demand, capacity, calm = state.demand, state.capacity, state.calm
    gap_s = observation.time_s - demand.time_s
    back_s = min(0.0, gap_s)
    if gap_s > LONG_BUCKETS * BUCKET_S:
        demand = replace(demand, arrivals=(), forecasts_rps=(), forecast_rps=0.0)
    demand = replace(demand, settling_since_s=observation.time_s, restored=False)
    capacity = replace(
        capacity,
        time_s=observation.time_s,
        replicas=observation.current_replicas,
        startup_s=_startup_from_zero(capacity, observation, gap_s),
        starts=tuple((at + back_s, n) for at, n in capacity.starts) if back_s else (),
        grown_s=capacity.grown_s + back_s,
    )
    calm = _moved(calm, back_s) if back_s else Calm(since_s=observation.time_s)
    return State(rebased(demand, observation, 0.0), capacity, calm)


def rebased(demand: Demand, observation: Observation, in_system: float) -> Demand:
    """The demand with its counters as they stand now and nothing booked since."""
    return replace(
        demand,
        time_s=observation.time_s,
        in_system=in_system,
        counted=observation.completed_total,
        open_since_s=observation.time_s,
        open_arrivals=0.0,
        odd_since_s=None,
    )


def is_settled(demand: Demand, observation: Observation, engines: bool) -> bool:
    """True if all that run have reported since the break, or had time enough to.

    `engines`: replicas are expected to report; otherwise only handles do.
    """
    since_s = demand.settling_since_s
    if since_s is None or observation.current_replicas == 0:
        return True
    if observation.time_s - since_s >= (SETTLING_S if engines else _HANDLES_S):
        return True
    return engines and observation.reporting_replicas >= observation.current_replicas


def _startup_from_zero(capacity: Capacity, observation: Observation, gap_s: float) -> float:
    """A silence that ends with the first replica was its start-up."""
    if capacity.replicas or not observation.current_replicas or gap_s <= 0.0:
        return capacity.startup_s
    return learnt_startup(capacity, gap_s)


def _moved(calm: Calm, by_s: float) -> Calm:
    return Calm(
        calm.since_s + by_s,
        tuple((at + by_s, replicas) for at, replicas in calm.peaks),
        None if calm.starting_since_s is None else calm.starting_since_s + by_s,
        None if calm.idle_since_s is None else calm.idle_since_s + by_s,
    )
