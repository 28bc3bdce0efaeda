"""`decide` on a small simulated deployment: claims about direction, bounds, holds and faults."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscale.core import Decision, decide
from autoscale.observation import Observation
from autoscale.parameters import Parameters
from autoscale.state import State

PARAMETERS = Parameters(
    slots_per_replica=10, service_prior_s=5.0, startup_prior_s=30.0, hold_down_s=120.0
)


class Plant:
    """A fluid deployment: Poisson-free arrivals, exact service, replicas start at once."""

    def __init__(self, parameters: Parameters = PARAMETERS, replicas: int = 2) -> None:
        self.parameters, self.replicas = parameters, replicas
        self.time_s, self.queued, self.running, self.completed = 1000.0, 0.0, 0.0, 0.0
        self.state: State | None = None
        self.low, self.high = 1, 50

    def seen(self) -> Observation:
        return Observation(
            time_s=self.time_s,
            total_requests=self.queued + self.running,
            queued=self.queued,
            current_replicas=self.replicas,
            target_replicas=self.replicas,
            min_replicas=self.low,
            max_replicas=self.high,
            engine_waiting=0.0,
            engine_running=self.running,
            completed_total=self.completed,
            reporting_replicas=self.replicas,
        )

    def run(self, rate_rps: float, for_s: float, tick_s: float = 1.0) -> Decision:
        for _ in range(round(for_s / tick_s)):
            done = self.running / 5.0 * tick_s
            self.completed += done
            self.queued += rate_rps * tick_s
            start = min(self.queued, self.replicas * 10 - self.running + done)
            self.queued, self.running = self.queued - start, self.running - done + start
            if self.running < 0.01:
                self.running = 0.0
            self.time_s += tick_s
            decision = decide(self.seen(), self.parameters, self.state)
            self.state, self.replicas = decision.state, decision.replicas
        return decision


def test_steady_load_gets_the_offered_load_plus_a_margin() -> None:
    decision = Plant(replicas=5).run(rate_rps=6.0, for_s=900)
    assert decision.terms.offered_load == pytest.approx(30.0, rel=0.05)
    assert 4 <= decision.replicas <= 5


def test_a_threefold_step_asks_for_more_within_5_s() -> None:
    plant = Plant(replicas=10)
    before = plant.run(rate_rps=10.0, for_s=600).replicas
    assert plant.run(rate_rps=30.0, for_s=5).replicas > before


@pytest.mark.parametrize("startup_s", [20.0, 90.0])
def test_a_tier_larger_than_its_need_grows_from_5_s_after_a_tenfold_step_on(
    startup_s: float,
) -> None:
    plant = Plant(replace(PARAMETERS, startup_prior_s=startup_s), replicas=4)
    plant.low = 4
    assert plant.run(rate_rps=1.5, for_s=600).replicas == 4
    grown = [plant.run(rate_rps=15.0, for_s=1).replicas for _ in range(60)]
    assert grown[4] > 4
    assert grown == sorted(grown)


def test_a_step_gets_its_full_staffing_and_comes_back_down() -> None:
    plant = Plant(replicas=2)
    plant.run(rate_rps=1.0, for_s=600)
    assert plant.run(rate_rps=10.0, for_s=60).replicas >= 6
    assert plant.run(rate_rps=1.0, for_s=1500).replicas <= 2


def test_no_downscale_before_the_hold_window_has_passed() -> None:
    plant = Plant(replicas=8)
    plant.run(rate_rps=12.0, for_s=600)
    peak = plant.replicas
    for _ in range(PARAMETERS.hold_down_s.__int__() // 2):
        assert plant.run(rate_rps=1.0, for_s=1).replicas >= peak


def test_replicas_for_a_backlog_leave_when_it_is_worked_off() -> None:
    plant = Plant(replicas=4)
    plant.run(rate_rps=5.0, for_s=600)
    plant.queued += 600.0
    asked = plant.run(rate_rps=5.0, for_s=1).replicas
    assert plant.run(rate_rps=5.0, for_s=PARAMETERS.hold_down_s / 2).replicas < 0.7 * asked
    assert plant.queued < 1.0


def test_a_fresh_start_holds_until_a_full_window_is_seen() -> None:
    plant = Plant(replicas=20)
    assert plant.run(rate_rps=1.0, for_s=PARAMETERS.hold_down_s - 5).constraint == "warm_up"
    assert plant.replicas == 20


def test_whole_gpus_are_the_quantum_in_both_directions() -> None:
    plant = Plant(replace(PARAMETERS, replicas_per_gpu=4), replicas=4)
    seen = set()
    for rate in (2.0, 9.0, 14.0, 3.0, 1.0):
        for _ in range(60):
            seen.add(plant.run(rate, for_s=10).replicas)
    assert len(seen) > 2
    assert all(replicas % 4 == 0 for replicas in seen)


def test_missing_engine_metrics_never_scale_down() -> None:
    plant = Plant(replicas=9)
    plant.run(rate_rps=1.0, for_s=60)
    seen = replace(plant.seen(), engine_running=None, completed_total=None, reporting_replicas=0)
    for second in range(600):
        decision = decide(replace(seen, time_s=seen.time_s + second), PARAMETERS, plant.state)
        plant.state = decision.state
        assert decision.replicas == 9
    assert decision.constraint == "metrics_missing"


def test_without_engine_metrics_handle_counts_alone_scale_both_ways() -> None:
    parameters = replace(PARAMETERS, require_engine_metrics=False)
    state, replicas = None, 2
    for second in range(900):
        busy = 40.0 if second < 300 else 5.0
        seen = Observation(
            1e6 + second, busy, max(0.0, busy - 10 * replicas), replicas, replicas, 1, 9
        )
        decision = decide(seen, parameters, state)
        state, replicas = decision.state, decision.replicas
        if second == 299:
            assert replicas >= 5
    assert replicas <= 2


def test_replicas_that_start_block_the_downscale_but_not_for_ever() -> None:
    plant = Plant(replicas=8)
    plant.run(rate_rps=1.0, for_s=100)
    seen, constraints = plant.seen(), []
    for second in range(1, 700):
        tick = replace(seen, time_s=seen.time_s + second, current_replicas=6, reporting_replicas=6)
        tick = replace(tick, target_replicas=8, completed_total=plant.completed + second)
        decision = decide(tick, PARAMETERS, plant.state)
        plant.state = decision.state
        constraints.append((decision.replicas, decision.constraint))
    assert (8, "replicas_starting") in constraints
    assert constraints[-1][0] < 8


def test_idle_goes_to_zero_only_where_the_minimum_allows_it() -> None:
    for low, expected in ((0, 0), (1, 1)):
        plant = Plant(replicas=1)
        plant.low = low
        plant.run(rate_rps=1.0, for_s=60)
        assert plant.run(rate_rps=0.0, for_s=900).replicas == expected


def test_kv_pressure_with_a_backlog_asks_for_more_and_without_one_does_not() -> None:
    plant = Plant(replicas=4)
    plant.run(rate_rps=4.0, for_s=600)
    full = replace(plant.seen(), kv_cache_usage=1.0, time_s=plant.time_s + 1)
    waiting = replace(full, engine_waiting=3.0)
    assert decide(full, PARAMETERS, plant.state).terms.kv_replicas == 0
    assert decide(waiting, PARAMETERS, plant.state).constraint == "kv_cache"


@pytest.mark.parametrize("jump_s", [-3600.0, -0.3, 61.0, 90.0, 3600.0])
def test_a_clock_jump_never_scales_down_and_forgets_nothing_learnt(jump_s: float) -> None:
    plant = Plant(replace(PARAMETERS, service_prior_s=30.0), replicas=8)
    before = plant.run(rate_rps=12.0, for_s=1200).terms
    assert before.service_s < 6.0
    peak = plant.replicas
    plant.time_s += jump_s
    decision = plant.run(rate_rps=0.0, for_s=1)
    assert decision.replicas >= peak
    assert decision.faults == ()
    assert decision.terms.service_s == pytest.approx(before.service_s, rel=0.01)
    assert plant.run(rate_rps=0.0, for_s=100).replicas >= peak
    assert plant.run(rate_rps=0.0, for_s=900).replicas == 1


def test_a_start_from_zero_is_learnt_although_nobody_was_asked() -> None:
    """Ray starts the first replica by itself and calls the policy again when it runs."""
    parameters = replace(PARAMETERS, idle_to_zero_s=30.0)
    plant = Plant(parameters, replicas=1)
    plant.low = 0
    assert plant.run(rate_rps=0.0, for_s=200).replicas == 0
    plant.time_s += 90.0
    plant.replicas = 1
    decision = plant.run(rate_rps=1.0, for_s=1)
    assert decision.terms.startup_s == pytest.approx(30.0 + 0.3 * (91.0 - 30.0))
    assert decision.faults == ()


def test_a_counter_that_claims_the_impossible_teaches_nothing() -> None:
    plant = Plant(replicas=8)
    before = plant.run(rate_rps=12.0, for_s=900).terms
    plant.completed += 200_000
    after = plant.run(rate_rps=12.0, for_s=60).terms
    assert after.service_s == pytest.approx(before.service_s, rel=0.02)
    assert after.rate_rps == pytest.approx(12.0, rel=0.05)


def test_a_wildly_wrong_prior_is_outgrown_all_the_same() -> None:
    """Requests of 5 s believed to take an hour: the counter is right, the belief is not."""
    plant = Plant(replace(PARAMETERS, service_prior_s=3600.0), replicas=4)
    assert plant.run(rate_rps=4.0, for_s=7200).terms.service_s < 6.0


@pytest.mark.parametrize("silent_s", [1.0, 29.0])
def test_nothing_is_booked_until_all_replicas_have_reported(silent_s: float) -> None:
    """After a restart without a journal, requests that appear are not arrivals."""
    plant = Plant(replicas=6)
    plant.run(rate_rps=6.0, for_s=300)
    plant.state = None
    for second in range(round(silent_s)):
        plant.time_s += 1.0
        seen = plant.seen()
        part = replace(
            seen, reporting_replicas=1, engine_running=5.0, total_requests=5.0 * (second + 1)
        )
        plant.state = decide(part, PARAMETERS, plant.state).state
    decision = plant.run(rate_rps=6.0, for_s=10)
    assert decision.terms.rate_rps == pytest.approx(6.0, rel=0.1)


NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.integers(-10, 10**6), st.none()
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[NUMBERS] * 12), min_size=1, max_size=5))
def test_any_numbers_give_a_bounded_decision(rows: list[tuple[float, ...]]) -> None:
    state = None
    for row in rows:
        seen = Observation(*row)  # type: ignore[arg-type]  # wrong types are the point
        decision = decide(seen, PARAMETERS, state)
        assert decision.replicas >= 0
        if isinstance(seen.min_replicas, int) and seen.min_replicas >= 0:
            assert decision.replicas >= seen.min_replicas
        state = decision.state


@pytest.mark.parametrize("bad", [math.nan, -1.0, math.inf])
@pytest.mark.parametrize("field", ["total_requests", "queued", "time_s"])
def test_unusable_handle_counts_hold_the_target(field: str, bad: float) -> None:
    if field == "time_s" and bad == -1.0:
        pytest.skip("a negative time is a valid clock")
    plant = Plant(replicas=7)
    plant.run(rate_rps=1.0, for_s=60)
    decision = decide(replace(plant.seen(), **{field: bad}), PARAMETERS, plant.state)  # type: ignore[arg-type]  # by name
    assert (decision.replicas, decision.constraint) == (7, "metrics_unusable")
    assert decision.state is plant.state


def with_backlog(waiting: float, startup_s: float) -> Decision:
    """Five replicas at 60% use for ten minutes, then `waiting` requests in the engines."""
    plant = Plant(replace(PARAMETERS, startup_prior_s=startup_s), replicas=5)
    plant.low = 5
    plant.run(rate_rps=6.0, for_s=600)
    seen = plant.seen()
    flooded = replace(
        seen,
        time_s=seen.time_s + 0.1,
        engine_waiting=waiting,
        total_requests=seen.total_requests + waiting,
    )
    assert plant.state is not None
    demand = plant.state.demand
    seen_before = replace(demand, in_system=demand.in_system + waiting)
    return decide(flooded, plant.parameters, replace(plant.state, demand=seen_before))


def test_a_backlog_that_spare_capacity_drains_before_a_start_asks_for_nothing() -> None:
    assert with_backlog(waiting=200.0, startup_s=60.0).terms.drain_slots == 0.0


def test_a_backlog_that_outlasts_a_start_asks_for_the_slots_to_drain_it() -> None:
    decision = with_backlog(waiting=200.0, startup_s=10.0)
    assert decision.constraint == "backlog"
    assert decision.terms.drain_slots == pytest.approx(200.0 * 5.0 / 15.0, rel=0.1)
    assert decision.replicas > 5


def test_a_spike_is_staffed_for_the_backlog_there_will_be_when_replicas_have_started() -> None:
    """Ten replicas, a 3x spike, and 90 s until help: the queue will have tripled at least."""
    plant = Plant(replace(PARAMETERS, startup_prior_s=90.0), replicas=10)
    plant.low = plant.high = 10
    plant.run(rate_rps=16.0, for_s=700)
    terms = plant.run(rate_rps=48.0, for_s=20).terms
    to_drain = terms.drain_slots * plant.parameters.drain_s / terms.service_s
    assert to_drain == pytest.approx(3.0 * terms.backlog, rel=0.01)


def test_requests_that_handles_lost_sight_of_still_count() -> None:
    """A restarted handle reports nothing while engines are full: that is no fall in demand."""
    plant = Plant(replicas=5)
    plant.run(rate_rps=8.0, for_s=600)
    seen = replace(plant.seen(), time_s=plant.time_s + 1, total_requests=0.0)
    after = decide(seen, PARAMETERS, plant.state)
    assert after.state is not None
    assert after.state.demand.in_system == pytest.approx(40.0, rel=0.05)


def test_warm_spares_come_on_top() -> None:
    plain = Plant(replicas=8).run(rate_rps=4.0, for_s=900).replicas
    spare = replace(PARAMETERS, warm_spare_replicas=3)
    assert Plant(spare, replicas=8).run(rate_rps=4.0, for_s=900).replicas == plain + 3


def test_survivors_of_a_downscale_keep_twice_the_margin_of_bursty_traffic() -> None:
    """Ten replicas; six would do at Poisson arrivals, and the burstier the fewer may go."""
    parameters = replace(PARAMETERS, tolerance_fraction=0.0)
    survivors = []
    for burstiness in (1.0, 4.0):
        plant = Plant(parameters, replicas=10)
        plant.low = 10
        plant.run(rate_rps=8.0, for_s=700)
        assert plant.state is not None
        demand = replace(plant.state.demand, burstiness=burstiness)
        plant.state, plant.low = replace(plant.state, demand=demand), 1
        terms = plant.run(rate_rps=8.0, for_s=1).terms
        margin = terms.staffing_slots - terms.offered_load
        plant.run(rate_rps=8.0, for_s=121)
        survivors.append(plant.replicas)
        assert plant.replicas * 10 >= terms.offered_load + 1.8 * margin
    assert survivors[0] < survivors[1] < 10


def test_survivors_of_a_downscale_keep_the_tolerance_to_spare() -> None:
    """At a load where n replicas just do, a wide tolerance keeps one more."""
    rates = [3.0 + 0.05 * step for step in range(30)]
    kept = []
    for tolerance in (0.0, 0.25):
        parameters = replace(PARAMETERS, tolerance_fraction=tolerance)
        kept.append([Plant(parameters, replicas=9).run(rate, 400).replicas for rate in rates[::6]])
    assert all(wide >= narrow for narrow, wide in zip(*kept, strict=True))
    assert sum(kept[1]) > sum(kept[0])


def test_an_idle_tier_keeps_whole_gpus_until_it_goes_to_zero() -> None:
    """One replica of four on a GPU is paid like four."""
    parameters = replace(PARAMETERS, replicas_per_gpu=4, idle_to_zero_s=300.0)
    plant = Plant(parameters, replicas=8)
    plant.low = 0
    plant.run(rate_rps=6.0, for_s=300)
    plant.queued = plant.running = 0.0
    seen = {plant.run(rate_rps=0.0, for_s=1).replicas for _ in range(700)}
    assert seen <= {0, 4, 8} and 0 in seen and 4 in seen
