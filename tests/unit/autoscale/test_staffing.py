"""Staffing against exact Erlang-C, and its monotone directions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscale.parameters import Parameters
from autoscale.quantum import capacity_slots, replicas_for, whole_gpus
from autoscale.staffing import late_probability, required_slots


def erlang_c_late(servers: int, load: float, wait_services: float) -> float:
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = load * blocking / (n + load * blocking)
    waits = blocking / (1.0 - load / servers * (1.0 - blocking))
    return waits * math.exp(-(servers - load) * wait_services)


@pytest.mark.parametrize("wait_services", [0.0, 0.3])
@pytest.mark.parametrize("utilization", [0.6, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("servers", [8, 16, 64, 256])
def test_late_probability_is_close_to_erlang_c(
    servers: int, utilization: float, wait_services: float
) -> None:
    load = servers * utilization
    exact = erlang_c_late(servers, load, wait_services)
    assert late_probability(servers, load, wait_services, 1.0) == pytest.approx(exact, abs=0.05)


LOADS = st.floats(0.1, 5000)
LATE = st.floats(1e-6, 0.5)
WAITS = st.floats(0, 5)
BURSTS = st.floats(1, 30)


@given(LOADS, LATE, WAITS, BURSTS)
def test_required_slots_meet_the_objective_and_barely(
    load: float, late: float, wait: float, z: float
) -> None:
    slots = required_slots(load, late, wait, z)
    assert slots > load
    assert late_probability(slots, load, wait, z) <= late
    tighter = slots - 2e-3 * math.sqrt(z * load)
    if tighter > load:
        assert late_probability(tighter, load, wait, z) >= late * 0.98


@given(LOADS, LATE, BURSTS)
def test_longer_waits_allowed_need_no_more_slots(load: float, late: float, z: float) -> None:
    assert required_slots(load, late, 1.0, z) <= required_slots(load, late, 0.0, z) + 1e-6


@given(LOADS, LATE, WAITS)
def test_burstier_demand_needs_no_fewer_slots(load: float, late: float, wait: float) -> None:
    assert required_slots(load, late, wait, 4.0) >= required_slots(load, late, wait, 1.0) - 1e-6


CONCAVE = Parameters.from_kwargs(
    {"replicas_per_gpu": 4, "slots_per_replica": 10, "colocation_curve": [1.0, 1.8, 2.4, 2.8]}
)


@pytest.mark.parametrize(
    ("replicas", "slots"), [(0, 0.0), (1, 14.2857), (4, 40.0), (5, 54.2857), (8, 80.0)]
)
def test_a_replica_alone_on_its_gpu_does_more(replicas: int, slots: float) -> None:
    assert capacity_slots(replicas, CONCAVE) == pytest.approx(slots, rel=1e-4)


@given(st.floats(0, 2000), st.booleans(), st.integers(1, 8))
def test_replicas_for_is_the_fewest_that_carry_the_slots(
    slots: float, concave: bool, quantum: int
) -> None:
    linear = Parameters(replicas_per_gpu=quantum, slots_per_replica=10)
    parameters = CONCAVE if concave else linear
    replicas = replicas_for(slots, parameters)
    assert capacity_slots(replicas, parameters) >= slots - 1e-6
    assert replicas == 0 or capacity_slots(replicas - 1, parameters) < slots
    rounded = whole_gpus(replicas, parameters)
    assert replicas <= rounded < replicas + parameters.replicas_per_gpu


def test_rounding_noise_asks_for_no_extra_replica() -> None:
    assert replicas_for(60.00000000001, Parameters(slots_per_replica=10)) == 6
