"""`decide(observation, parameters, state) -> Decision`: how many replicas, and why.

Pure and total: no clock, no I/O, no Ray; any numbers in, a bounded number of replicas out. The Ray
policy, the simulator, shadow mode and replay all call this one function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoscale.calm import Calm, Wish, calm_down
from autoscale.capacity import Capacity, Priors, Service, first_capacity, learn
from autoscale.demand import Demand, Flow, advance, first_demand
from autoscale.observation import Observation, clean
from autoscale.parameters import Parameters
from autoscale.quantum import capacity_slots, replicas_for, whole_gpus
from autoscale.schedule import scheduled_bounds
from autoscale.sizing import IDLE_REQUESTS, Terms, size
from autoscale.state import State, is_break, is_settled, rebased, resumed

_SANE = 100.0  # times the completions that all slots make at the learnt service time
_ODD_S = 10.0  # counters that claim so much for so long are believed: the prior was wrong


@dataclass(frozen=True, slots=True)
class Decision:
    """The number of replicas, the constraint that bound, the terms, and the next state."""

    replicas: int
    constraint: str
    terms: Terms
    faults: tuple[str, ...]
    state: State | None


def decide(seen: Observation, parameters: Parameters, state: State | None) -> Decision:
    """The replicas to run. Unusable handle counts hold the target."""
    observation, faults = clean(seen)
    low, high = scheduled_bounds(
        parameters.schedule,
        observation.time_s if "time_s" not in faults else 0.0,
        observation.min_replicas,
        observation.max_replicas,
    )
    if {"time_s", "total_requests", "queued"} & set(faults):
        return _hold(observation, "metrics_unusable", faults, state)
    if state is not None and is_break(state.demand, observation.time_s):
        state = resumed(state, observation)
    state = _observe(observation, parameters, state)
    terms, drained_by_s = size(observation, parameters, state, (low, high))
    wish = _wish(observation, parameters, terms, faults)
    replicas, constraint, calm = calm_down(wish, parameters, state.calm)
    remembered = State(state.demand, state.capacity, calm, drained_by_s)
    return Decision(replicas, constraint, terms, faults, remembered)


def _hold(
    observation: Observation, constraint: str, faults: tuple[str, ...], state: State | None
) -> Decision:
    low, high = observation.min_replicas, observation.max_replicas
    kept = max(low, min(high, observation.target_replicas))
    return Decision(kept, constraint, Terms(low=low, high=high), faults, state)


def _in_system(observation: Observation) -> float:
    """Requests anywhere: what handles count, or what engines hold if handles lost sight of it."""
    engine = (observation.engine_waiting or 0.0) + (observation.engine_running or 0.0)
    return max(observation.total_requests, observation.queued + engine)


def _busy(observation: Observation) -> float:
    if observation.engine_running is not None:
        return observation.engine_running
    return max(0.0, observation.total_requests - observation.queued)


def _observe(observation: Observation, parameters: Parameters, state: State | None) -> State:
    """The state with this tick booked; without a usable counter, Little's law supplies it."""
    time_s, in_system = observation.time_s, _in_system(observation)
    if state is None:
        priors = Priors(parameters.service_prior_s, parameters.startup_prior_s)
        demand = first_demand(time_s, in_system, 0.0, observation.completed_total)
        capacity = first_capacity(time_s, 0.0, observation.current_replicas, priors)
        return State(_settled(demand, observation, parameters), capacity, Calm(since_s=time_s))
    demand, capacity = state.demand, state.capacity
    settling = demand.settling_since_s is not None
    if settling:
        demand = rebased(_settled(demand, observation, parameters), observation, in_system)
        capacity = replace(capacity, time_s=time_s)
    done, odd_since_s = _completions(observation, parameters, demand, capacity)
    completed = demand.completed + done
    tick = Service(
        time_s,
        _busy(observation),
        completed,
        observation.current_replicas,
        observation.target_replicas,
    )
    capacity = learn(capacity, tick)
    flow = Flow(time_s, in_system, completed)
    demand = advance(demand, flow, capacity.service_s, capacity.startup_s)
    demand = replace(demand, counted=observation.completed_total, odd_since_s=odd_since_s)
    return State(demand, capacity, state.calm, state.drained_by_s)


def _settled(demand: Demand, observation: Observation, parameters: Parameters) -> Demand:
    """The demand, its settling ended if all replicas report."""
    if not is_settled(demand, observation, parameters.require_engine_metrics):
        return demand
    return replace(demand, settling_since_s=None)


def _completions(
    observation: Observation, parameters: Parameters, demand: Demand, capacity: Capacity
) -> tuple[float, float | None]:
    """Requests that left in this tick, and since when the counter is not believed.

    What cannot be is worth no more than what Little's law expects, which teaches nothing: a counter
    that jumps would otherwise be demand and speed that never were.
    """
    elapsed_s = observation.time_s - demand.time_s
    expected = _busy(observation) * elapsed_s / capacity.service_s
    if observation.completed_total is None or demand.counted is None:
        return expected, demand.odd_since_s
    done = max(0.0, observation.completed_total - demand.counted)
    slots = max(capacity_slots(observation.current_replicas, parameters), _busy(observation))
    possible = demand.in_system + _SANE * slots * elapsed_s / capacity.service_s + 1.0
    if done <= possible:
        return done, None
    odd_since_s = observation.time_s if demand.odd_since_s is None else demand.odd_since_s
    return (done if observation.time_s - odd_since_s >= _ODD_S else expected), odd_since_s


def _wish(
    observation: Observation, parameters: Parameters, terms: Terms, faults: tuple[str, ...]
) -> Wish:
    """What sizing asks for in whole GPUs, and which term asked."""
    constraint = "demand"
    if terms.drain_slots and terms.offered_load + terms.drain_slots > terms.staffing_slots:
        constraint = "backlog"
    if terms.kv_replicas and terms.kv_replicas == terms.needed_replicas:
        constraint = "kv_cache"
    spare = parameters.warm_spare_replicas
    margin = max(0.0, terms.staffing_slots - terms.offered_load)
    slots = terms.staffing_slots * (1.0 + parameters.tolerance_fraction) + margin
    careful = max(replicas_for(slots, parameters), terms.kv_replicas)
    unseen = (
        parameters.require_engine_metrics
        and observation.current_replicas > 0
        and 2 * observation.reporting_replicas < observation.current_replicas
    )
    return Wish(
        time_s=observation.time_s,
        replicas=whole_gpus(terms.needed_replicas + spare, parameters),
        careful_replicas=whole_gpus(careful + spare, parameters),
        carrying_replicas=whole_gpus(replicas_for(terms.seen_load, parameters), parameters),
        constraint=constraint,
        current=observation.current_replicas,
        target=observation.target_replicas,
        low=terms.low,
        high=terms.high,
        busy=_in_system(observation) > IDLE_REQUESTS,
        blind=bool(faults) or unseen,
    )
