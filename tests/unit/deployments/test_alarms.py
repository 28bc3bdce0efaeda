"""A router that has stopped routing is noticed, and one that routes raises nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from classifier import Score
from deployments.accounting.exchange import Exchange
from deployments.accounting.price import Price
from deployments.accounting.router_alarms import RouterAlarms
from deployments.routing.alarms import MISSED_S, Agreement, Alarm, AlarmRules
from deployments.routing.cause import Cause
from deployments.routing.held_rate import NEVER, HeldRate, RateState
from deployments.routing.route import Route
from deployments.settings.escalation import Escalation

WELL = RateState(
    target_rate=0.05,
    rate=0.051,
    threshold=0.7,
    trained_threshold=0.7,
    lowest=0.0,
    highest=NEVER,
    owed=0.0,
    requests=5000,
    reach=0.05,
    drift=0.05,
)


def raised(state: RateState, agreement: Agreement) -> set[Alarm]:
    return {a for a, up in AlarmRules().raised(state, agreement, 0.0).items() if up}


CASES: dict[str, tuple[dict[str, Any], Agreement, set[Alarm]]] = {
    "all is well": ({}, Agreement(1000, 10), set()),
    "nobody escalates": ({"rate": 0.001}, Agreement(), {Alarm.ESCALATION_STUCK}),
    "everybody escalates": ({"rate": 0.99}, Agreement(), {Alarm.ESCALATION_STUCK}),
    "nobody should": ({"rate": 0.0, "target_rate": 0.0, "reach": 0.0}, Agreement(), set()),
    "everybody should": ({"rate": 1.0, "target_rate": 1.0}, Agreement(), set()),
    "too few to tell": ({"rate": 0.0, "requests": 900, "reach": 0.0}, Agreement(), set()),
    "nothing reaches it": (
        {"reach": 0.0, "lowest": 0.7},
        Agreement(),
        {Alarm.THRESHOLD_UNREACHABLE},
    ),
    "it is repaying": ({"reach": 0.0, "threshold": NEVER}, Agreement(), set()),
    "it is repaying equal claims": ({"reach": 0.0, "threshold": 0.701}, Agreement(), set()),
    "other scores": ({"drift": 0.4}, Agreement(), {Alarm.SCORE_DRIFT}),
    "sure questions fail": ({}, Agreement(300, 90), {Alarm.ANSWER_CHECK_DISAGREES}),
    "few sure questions fail": ({}, Agreement(150, 100), set()),
}


@pytest.mark.parametrize(("change", "agreement", "expected"), CASES.values(), ids=CASES)
def test_an_alarm_is_raised_where(
    change: dict[str, Any], agreement: Agreement, expected: set[Alarm]
) -> None:
    assert raised(replace(WELL, **change), agreement) == expected


def test_a_missed_target_is_an_alarm_after_an_hour_of_traffic_that_misses_it() -> None:
    rules, off = AlarmRules(), replace(WELL, rate=0.09)
    for at_s, requests, state, expected in (
        (0.0, 5000, off, False),
        (MISSED_S - 1, 6000, off, False),
        (MISSED_S, 6000, off, True),
        (MISSED_S + 1, 6001, WELL, False),
        (MISSED_S + 2, 6002, off, False),
        (2 * MISSED_S + 1, 9000, off, False),
        (2 * MISSED_S + 2, 9000, off, True),
        (2 * MISSED_S + 3, 9001, WELL, False),
        (2 * MISSED_S + 4, 9002, off, False),
        (9 * MISSED_S, 9002, off, False),  # a night without a request
        (9 * MISSED_S + 1, 10_001, off, False),
        (9 * MISSED_S + 2, 10_002, off, True),
    ):
        state = replace(state, requests=requests)
        up = rules.raised(state, Agreement(), at_s)[Alarm.TARGET_MISSED]
        assert up is expected, at_s


def test_a_threshold_that_the_operator_fixed_misses_no_target() -> None:
    rules, off = AlarmRules(), replace(WELL, rate=0.09, lowest=0.7, highest=0.7)
    for at_s, requests in ((0.0, 5000), (MISSED_S, 9000)):
        up = rules.raised(replace(off, requests=requests), Agreement(), at_s)
        assert not up[Alarm.TARGET_MISSED]


def test_another_kind_of_traffic_drifts_and_the_same_does_not() -> None:
    rng = np.random.default_rng(0)
    held = HeldRate(Escalation(), 0.7)
    drifts = []
    for at in range(14_000):
        held.came()
        held.claimed(float(np.clip(rng.normal(0.3 if at < 12_000 else 0.6, 0.1), 0, 1)))
        drifts.append(held.state.drift if at % 500 == 499 else 0.0)
    assert max(drifts[:12_000]) < 0.15
    assert drifts[-1] > 0.5


@pytest.mark.parametrize(
    "config", [Escalation(min_threshold=0.9), Escalation(hold=False)], ids=["bounded", "not held"]
)
def test_a_threshold_above_all_traffic_is_noticed_and_one_that_is_reached_again_is_not(
    config: Escalation,
) -> None:
    held = HeldRate(config, 0.9)
    up = []
    for claim in (0.3, 0.95):
        for _ in range(3000):
            held.came()
            held.claimed(claim)
        up.append(Alarm.THRESHOLD_UNREACHABLE in raised(held.state, Agreement()))
    assert up == [True, False]


def test_equal_claims_of_which_the_target_goes_large_raise_nothing() -> None:
    held, seen = HeldRate(Escalation(), 0.7), set[Alarm]()
    for at in range(6000):
        held.came()
        if held.threshold <= 0.3:
            held.escalated()
        held.claimed(0.3)
        if at > 3000:
            seen |= raised(held.state, Agreement())
    assert seen == set()


class Gauge:
    """Stands in for Ray's: remembers what it was set to."""

    values: dict[str, float]

    def __init__(self, name: str, _: str) -> None:
        self._name = name

    def set(self, value: float) -> None:
        self.values[self._name] = value


def judged(complexity: float, threshold: float, answer: float) -> Exchange:
    """A settled request whose small answer was judged."""
    one = Exchange("r", "chat", "auto", False, 0.0, threshold=threshold)
    one.score = Score(complexity, 0.9, 0.9, 0.0, 0.5)
    attempt = one.attempt(Route("small", Cause.CLASSIFIER, may_fall_back=True), "m", Price(0, 0))
    attempt.answer_score = answer
    return one


@pytest.mark.parametrize("target", [0.0, 0.05])
def test_a_small_model_that_breaks_down_is_noticed_until_it_is_mended(
    target: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of equal claims the control sends the target's share, by a threshold that is above them for
    all the others: these have failed no less."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(Gauge, "values", {}, raising=False)
    monkeypatch.setattr("ray.serve.metrics.Gauge", Gauge)
    held, alarms, up = HeldRate(Escalation(target_rate=target), 0.7), RouterAlarms(), []
    for answer in (0.0, 1.0, 0.0):
        for complexity in rng.beta(2, 8, size=3000):
            alarms.observe(judged(complexity, held.threshold, answer))
            held.came()
            claim = max(complexity, answer)
            if claim >= held.threshold:
                held.escalated()
            held.claimed(claim)
        alarms.show(held.state)
        up.append(Gauge.values["smallfirst_alarm_answer_check_disagrees"])
    assert up == [0, 1, 0]
