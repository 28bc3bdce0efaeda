"""Arrivals by conservation, forecast, surprise and burstiness."""

from __future__ import annotations

import random

import pytest

from autoscale.demand import Demand, Flow, advance, first_demand, staffed_rps
from autoscale.forecast import forecast


def fed(rates: list[float], tick_s: float, in_system: float = 10.0) -> Demand:
    """Constant number in the system, completions at the given rate of each tick."""
    demand, time_s, done = first_demand(0.0, in_system, 0.0), 0.0, 0.0
    for rate in rates:
        time_s += tick_s
        done += rate * tick_s
        demand = advance(demand, Flow(time_s, in_system, done), service_s=6.0, lead_s=30.0)
    return demand


@pytest.mark.parametrize("tick_s", [0.13, 1.0, 2.0, 3.7, 4.0, 7.0])
def test_steady_traffic_looks_steady_whatever_the_tick(tick_s: float) -> None:
    demand = fed([20.0] * round(900 / tick_s), tick_s)
    assert demand.arrivals == pytest.approx([20.0 * 5.0] * len(demand.arrivals))
    assert staffed_rps(demand, 90.0) == pytest.approx(20.0)
    assert demand.burstiness == 1.0


def test_growth_of_the_queue_counts_as_arrivals() -> None:
    demand = first_demand(0.0, 0.0, 0.0)
    for second in range(1, 61):
        flow = Flow(float(second), 3.0 * second, 2.0 * second)
        demand = advance(demand, flow, service_s=6.0, lead_s=30.0)
    assert staffed_rps(demand, 90.0) == pytest.approx(5.0)


def test_a_ramp_is_forecast_one_lead_time_ahead() -> None:
    ramp = tuple(5.0 * (10.0 + 0.02 * 5.0 * (i + 0.5)) for i in range(120))
    assert forecast(ramp, 100.0) == pytest.approx(10.0 + 0.02 * 700.0, rel=1e-6)


def test_a_falling_ramp_is_followed_but_not_below_what_arrives() -> None:
    ramp = tuple(5.0 * (60.0 - 0.05 * 5.0 * i) for i in range(120))
    level, last = sum(ramp[-24:]) / 120.0, sum(ramp[-6:]) / 30.0
    assert forecast(ramp, 600.0) == pytest.approx(last)
    assert last < level


def test_a_step_doubles_the_plan_within_two_seconds_and_is_met_within_a_minute() -> None:
    steady = [20.0] * 900
    assert staffed_rps(fed(steady + [60.0] * 2, 1.0), 90.0) == pytest.approx(40.0)
    assert staffed_rps(fed(steady + [60.0] * 60, 1.0), 90.0) > 55.0


@pytest.mark.parametrize(
    ("lead_s", "rate_rps"), [(90.0, 40.0), (60.0, 40.0), (40.0, 60.0), (5.0, 80.0)]
)
def test_replicas_that_start_fast_may_answer_more_of_a_step(lead_s: float, rate_rps: float) -> None:
    demand = fed([20.0] * 900 + [200.0] * 2, 1.0)
    assert staffed_rps(demand, lead_s) == pytest.approx(rate_rps)


def test_bursts_that_come_and_go_stop_being_a_surprise() -> None:
    burst = [20.0] * 120 + [120.0] * 5
    assert staffed_rps(fed([20.0] * 300 + [120.0] * 5, 1.0), 90.0) > 38.0
    assert staffed_rps(fed([20.0] * 300 + burst * 6, 1.0), 90.0) < 35.0


def test_bursts_are_remembered_for_a_day() -> None:
    bursts = [20.0] * 120 + ([20.0] * 24 + [120.0]) * 6
    eight_hours_later = [20.0] * 5760
    assert staffed_rps(fed([*bursts, *eight_hours_later, 80.0], 5.0), 90.0) < 35.0
    assert staffed_rps(fed([*bursts, *eight_hours_later, 140.0], 5.0), 90.0) > 38.0


def test_a_spike_that_lasted_does_not_hide_the_next_one() -> None:
    spike = [20.0] * 900 + [80.0] * 600 + [20.0] * 900
    assert staffed_rps(fed(spike + [60.0] * 4, 1.0), 90.0) == pytest.approx(40.0)


def test_burstiness_is_known_within_ten_minutes_of_a_fresh_start() -> None:
    bursty = ([10.0] * 100 + [40.0] * 20) * 10
    assert fed(bursty[:600], 1.0).burstiness > 0.4 * fed(bursty * 6, 1.0).burstiness


def test_traffic_that_begins_is_not_burstiness() -> None:
    assert fed([0.0] * 5 + [1.0] * 5 + [20.0] * 600, 1.0).burstiness < 1.5


def test_one_spike_is_not_burstiness() -> None:
    rates = [20.0] * 3600
    assert fed([*rates, *[60.0] * 120, *[20.0] * 60], 1.0).burstiness < 4.0


def test_poisson_noise_is_no_surprise_and_near_burstiness_one() -> None:
    rng = random.Random(4)
    demand, done, surprises = first_demand(0.0, 10.0, 0.0), 0.0, 0
    for second in range(1, 3600):
        done += sum(rng.random() < 0.02 for _ in range(1000))
        demand = advance(demand, Flow(float(second), 10.0, done), service_s=6.0, lead_s=30.0)
        surprises += staffed_rps(demand, 90.0) > demand.forecast_rps
    assert surprises <= 5
    assert 1.0 <= demand.burstiness < 2.5


def test_steps_make_demand_bursty_and_falls_do_not() -> None:
    up_and_down = [10.0] * 300 + [40.0] * 300 + [10.0] * 300
    assert fed(up_and_down, 1.0).burstiness > 1.5
    assert fed([40.0] * 600 + [10.0] * 600, 1.0).burstiness == 1.0


def test_a_lag_between_counters_is_evened_out_not_lost() -> None:
    """Completions seen a second after the queue fell: arrivals dip below zero, then catch up."""
    demand = first_demand(0.0, 100.0, 0.0)
    for second in range(1, 101):
        lagging = Flow(float(second), 100.0 - second, max(0.0, 6.0 * (second - 1)))
        demand = advance(demand, lagging, service_s=6.0, lead_s=30.0)
    booked = sum(demand.arrivals) + demand.open_arrivals
    assert booked == pytest.approx(6.0 * 99 - 100)
