"""Service and start-up times are learnt, and starts do not poison them."""

from __future__ import annotations

import pytest

from autoscale.capacity import Capacity, Priors, Service, first_capacity, learn

PRIORS = Priors(service_s=10.0, startup_s=60.0)


def served(
    capacity: Capacity, seconds: int, rate: float, service_s: float, replicas: int = 2
) -> Capacity:
    """Steady service: `rate` completions a second, Little's law for the busy slots."""
    start_s, done = capacity.time_s, capacity.completed
    for second in range(1, seconds + 1):
        tick = Service(start_s + second, rate * service_s, done + rate * second, replicas, replicas)
        capacity = learn(capacity, tick)
    return capacity


def test_the_prior_holds_until_requests_are_measured_then_yields() -> None:
    capacity = first_capacity(0.0, 0.0, 2, PRIORS)
    assert capacity.service_s == 10.0
    assert served(capacity, 5, 2.0, 4.0).service_s == pytest.approx(9.0, rel=0.05)
    assert served(capacity, 900, 2.0, 4.0).service_s == pytest.approx(4.0, rel=0.05)


def test_a_changed_mix_is_followed_within_half_an_hour() -> None:
    capacity = served(first_capacity(0.0, 0.0, 2, PRIORS), 1800, 5.0, 4.0)
    assert served(capacity, 1800, 5.0, 8.0).service_s == pytest.approx(8.0, rel=0.1)


def test_ticks_soon_after_a_start_teach_nothing() -> None:
    capacity = served(first_capacity(0.0, 0.0, 2, PRIORS), 900, 5.0, 4.0)
    cold = served(capacity, 29, rate=0.5, service_s=60.0, replicas=3)
    assert cold.service_s == pytest.approx(capacity.service_s)
    assert served(capacity, 29, rate=0.5, service_s=60.0).service_s > 1.05 * capacity.service_s


def test_start_up_time_is_measured_from_asking_to_running() -> None:
    capacity = first_capacity(0.0, 0.0, 2, PRIORS)
    for second in range(1, 200):
        running = 2 if second < 100 else 4
        capacity = learn(
            capacity, Service(float(second), 1.0, 0.0, running, 4 if second > 9 else 2)
        )
    assert capacity.startup_s == pytest.approx(60.0 + 0.3 * (90.0 - 60.0))
    assert capacity.starts == ()


def test_a_scale_up_taken_back_is_not_measured() -> None:
    capacity = first_capacity(0.0, 0.0, 2, PRIORS)
    for second in range(1, 400):
        wanted = 4 if 10 < second < 50 else 2
        capacity = learn(capacity, Service(float(second), 1.0, 0.0, 2, wanted))
    assert capacity.startup_s == 60.0
    assert capacity.starts == ()


@pytest.mark.parametrize(
    ("took_s", "learnt_s"),
    [(90.0, 60.0 + 0.3 * 30.0), (300.0, 60.0 + 0.3 * 120.0), (3 * 3600.0, 60.0)],
    ids=["a start", "a slow start counts three priors", "a wait for a node teaches nothing"],
)
def test_a_start_that_waited_for_hardware_teaches_nothing(took_s: float, learnt_s: float) -> None:
    capacity = first_capacity(0.0, 0.0, 2, PRIORS)
    for second in range(1, round(took_s) + 12):
        running = 2 if second < 10 + took_s else 4
        tick = Service(float(second), 1.0, 0.0, running, 4 if second >= 10 else 2)
        capacity = learn(capacity, tick)
    assert capacity.startup_s == pytest.approx(learnt_s)
