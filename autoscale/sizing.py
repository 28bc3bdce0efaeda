"""The slots and replicas that one tick needs: for the staffed rate, the backlog and the KV cache.

Pure; what to do with them is `autoscale.core`'s and `autoscale.calm`'s concern.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoscale.capacity import Capacity
from autoscale.demand import Demand, arriving_rps, staffed_rps
from autoscale.observation import Observation
from autoscale.parameters import Parameters
from autoscale.quantum import capacity_slots, replicas_for
from autoscale.staffing import required_slots
from autoscale.state import State

IDLE_REQUESTS = 1e-3
"""Fewer in the system are none: a mean over a window may leave dust of the last request."""

_EMPTY_RPS = 1e-9  # spare capacity below is rounding, and drains nothing
_OVERDUE = 2.0  # a backlog that stands for so many times the time that it should need has no end
_LINDY = 2.0  # an overload that has lasted t is expected to last at most so many t more


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of one decision, in the order of the computation."""

    rate_rps: float = 0.0
    """The staffed rate."""
    service_s: float = 0.0
    startup_s: float = 0.0
    burstiness: float = 1.0
    offered_load: float = 0.0
    """Slots that the staffed rate keeps busy."""
    seen_load: float = 0.0
    """Slots that the arriving rate keeps busy."""
    backlog: float = 0.0
    staffing_slots: float = 0.0
    drain_slots: float = 0.0
    kv_replicas: int = 0
    needed_replicas: int = 0
    wanted_replicas: int = 0
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """What presses on the replicas: rates, the time that a request takes, the queue."""

    staffed_rps: float
    arriving_rps: float
    service_s: float
    startup_s: float
    backlog: float
    """Requests that wait at handles or in engines."""


def size(
    observation: Observation, parameters: Parameters, state: State, bounds: tuple[int, int]
) -> tuple[Terms, float | None]:
    """Slots for the staffed rate, plus slots to drain the backlog, and the KV floor.

    The second value is the next `State.drained_by_s`.
    """
    demand, capacity = state.demand, state.capacity
    pressure = _pressure(observation, demand, capacity)
    load = pressure.staffed_rps * capacity.service_s
    wait_services = parameters.slo_wait_s / capacity.service_s
    staffing = required_slots(load, parameters.late_fraction, wait_services, demand.burstiness)
    drain, due_s = _drain(observation, parameters, pressure, state.drained_by_s)
    kv_replicas = _kv_replicas(observation, parameters, pressure.backlog)
    needed = max(replicas_for(max(staffing, load + drain), parameters), kv_replicas)
    if demand.in_system > IDLE_REQUESTS:
        needed = max(needed, 1)
    terms = Terms(
        rate_rps=pressure.staffed_rps,
        service_s=capacity.service_s,
        startup_s=capacity.startup_s,
        burstiness=demand.burstiness,
        offered_load=load,
        seen_load=pressure.arriving_rps * capacity.service_s,
        backlog=pressure.backlog,
        staffing_slots=staffing,
        drain_slots=drain,
        kv_replicas=kv_replicas,
        needed_replicas=needed,
        wanted_replicas=needed,
        low=bounds[0],
        high=bounds[1],
    )
    return terms, due_s


def _pressure(observation: Observation, demand: Demand, capacity: Capacity) -> Pressure:
    return Pressure(
        staffed_rps(demand, capacity.startup_s),
        arriving_rps(demand),
        capacity.service_s,
        capacity.startup_s,
        observation.queued + (observation.engine_waiting or 0.0),
    )


def _kv_replicas(observation: Observation, parameters: Parameters, backlog: float) -> int:
    """Replicas that bring KV cache use down to the ceiling, asked for only while requests wait."""
    if observation.kv_cache_usage is None or backlog <= 0.0:
        return 0
    overfull = observation.kv_cache_usage / parameters.kv_ceiling_fraction
    return math.ceil(observation.current_replicas * overfull) if overfull > 1.0 else 0


def _drain(
    observation: Observation, parameters: Parameters, pressure: Pressure, due_s: float | None
) -> tuple[float, float | None]:
    """Extra slots that work off in `drain_s` the backlog there will be when replicas can help.

    It grows for one start-up by the overload of what runs, but no more than `_LINDY` times what
    it is: a burst of seconds leaves little, a spike that lasts is answered before it is felt. None
    if the SLO allows the backlog, or if what is already asked for drains it before another replica
    could start: more replicas would then arrive to an empty queue.

    The second value is when a backlog that was waited out should be gone. One that stands longer
    proves that less is spare than was believed: clients that wait for their answers before they
    ask again send, once all slots are full, no faster than they are served, and surprise nobody.

    Then, and where more arrives than what runs can serve, at least the next GPU: the staffed rate
    may not even fill a tier that was larger than its need when a step hit it.
    """
    staffed, service_s, now_s = pressure.staffed_rps, pressure.service_s, observation.time_s
    running_rps = capacity_slots(observation.current_replicas, parameters) / service_s
    overload_rps = max(0.0, staffed - running_rps)
    backlog = pressure.backlog
    backlog += min(_LINDY * backlog, pressure.startup_s * overload_rps)
    if backlog <= max(1.0, staffed * parameters.slo_wait_s):
        return 0.0, None
    drain = backlog * service_s / parameters.drain_s
    asked_rps = capacity_slots(observation.target_replicas, parameters) / service_s
    spare_rps = asked_rps - staffed
    stands = due_s is not None and now_s > due_s
    if not stands and spare_rps > _EMPTY_RPS and backlog / spare_rps <= pressure.startup_s:
        drain = 0.0
        due_s = due_s or now_s + _OVERDUE * backlog / spare_rps
    if pressure.arriving_rps <= running_rps and not stands:
        return drain, due_s
    more = observation.current_replicas + parameters.replicas_per_gpu
    return max(drain, capacity_slots(more, parameters) - staffed * service_s), due_s
