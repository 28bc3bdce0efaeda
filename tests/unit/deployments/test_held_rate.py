"""The escalated share is held while scores drift, by one gateway and by several."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.escalation.held_rate import PAIRS, Run, replayed, worst_stretch
from bench.escalation.record_scores import SCORES as SCORES_FILE
from deployments.routing.held_rate import NEVER, STEPS, HeldRate, Traffic
from deployments.settings.escalation import Escalation

SCORES = json.loads(SCORES_FILE.read_text())["scores"]
TARGET = 0.05


@pytest.mark.parametrize("gateways", [1, 2, 5])
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_rate_is_back_within_2000_requests_of_a_step(
    before: str, after: str, gateways: int
) -> None:
    run = replayed(SCORES[before], SCORES[after], Run(gateways=gateways, seed=1))
    assert abs(run.escalated[4000:6000].mean() - TARGET) <= 0.005
    assert abs(run.escalated[6000:].mean() - TARGET) <= 0.005


@pytest.mark.parametrize("gateways", [1, 2])
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_cap_holds_over_every_stretch(before: str, after: str, gateways: int) -> None:
    run = replayed(SCORES[before], SCORES[after], Run(gateways=gateways, seed=2))
    config = Escalation()
    assert worst_stretch(run.escalated, config.cap) <= config.burst * gateways


@pytest.mark.parametrize("claim", [0.0, 0.2, 0.7, 0.9999, 1.0])
def test_one_and_the_same_claim_escalates_as_often_as_the_target_says(claim: float) -> None:
    sent = [int(claim * 1000)]
    run = replayed(SCORES["bounded"], sent, Run(seed=3))
    assert abs(run.escalated[4000:6000].mean() - TARGET) <= 0.005
    assert abs(run.escalated[6000:].mean() - TARGET) <= 0.005


@pytest.mark.parametrize("target", [0.01, 0.05, 0.2, 0.5, 0.9])
def test_other_targets_are_held_too(target: float) -> None:
    config = Escalation(target_rate=target, burst=50)
    run = replayed(SCORES["exam"], SCORES["arithmetic"], Run(config=config, seed=4, after=12_000))
    assert abs(run.escalated[-6000:].mean() - target) <= max(0.002, 0.05 * target)


@pytest.mark.parametrize("claim", [0.0, 0.3, 1.0])
def test_with_little_traffic_the_threshold_stays_near_the_trained_one(claim: float) -> None:
    held = HeldRate(Escalation(), 0.7)
    assert held.threshold == 0.7
    for _ in range(10):
        held.came()
        held.claimed(claim)
    assert abs(held.threshold - 0.7) < 0.12


def test_a_rate_of_nothing_never_escalates_and_of_one_always_does() -> None:
    never, always = (HeldRate(Escalation(target_rate=rate), 0.7) for rate in (0.0, 1.0))
    for held in (never, always):
        for _ in range(500):
            held.came()
            held.claimed(1.0)
    assert never.threshold == NEVER > 1.0
    assert always.threshold == 0.0


def test_a_threshold_that_is_not_held_stays() -> None:
    held = HeldRate(Escalation(hold=False), 0.6)
    for _ in range(500):
        held.came()
        held.escalated()
        held.claimed(1.0)
    assert held.threshold == 0.6
    assert held.state.rate > 0.5


@pytest.mark.parametrize(
    ("bounds", "claim", "expected"),
    [({"min_threshold": 0.4}, 0.1, 0.4), ({"max_threshold": 0.8}, 0.95, 0.8)],
)
def test_the_threshold_stays_within_its_bounds(
    bounds: dict[str, float], claim: float, expected: float
) -> None:
    held = HeldRate(Escalation(**bounds), 0.7)
    for _ in range(3000):
        held.came()
        if claim >= held.threshold:
            held.escalated()
        held.claimed(claim)
    assert held.threshold == expected
    assert expected in (held.state.lowest, held.state.highest)


def test_what_could_not_be_sent_is_not_made_up_for_without_end() -> None:
    held = HeldRate(Escalation(), 0.7)
    for _ in range(20_000):  # the large tier takes none
        held.came()
        held.claimed(0.2)
    assert held.state.owed <= 50
    sent = 0
    for _ in range(2000):
        held.came()
        if held.threshold <= 0.2:
            held.escalated()
            sent += 1
        held.claimed(0.2)
    assert sent <= 2000 * TARGET + 55


traffic = st.builds(
    Traffic,
    requests=st.integers(0, 50),
    escalated=st.integers(0, 5),
    claims=st.dictionaries(st.integers(0, STEPS), st.integers(1, 9), max_size=5),
)


@given(traffic, traffic, traffic)
def test_traffic_adds_up_in_any_order(a: Traffic, b: Traffic, c: Traffic) -> None:
    assert a + b + c == c + (b + a)
    assert (a + b) - b == a - Traffic()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_who_hears_of_requests_stands_where_who_counted_them_stands(claims: list[float]) -> None:
    counted, hears = HeldRate(Escalation(), 0.7), HeldRate(Escalation(), 0.7)
    for claim in claims:
        counted.came()
        counted.claimed(claim)
    hears.heard(counted.seen)
    assert hears.state.requests == counted.state.requests
    assert hears.state.owed == pytest.approx(counted.state.owed)
    assert hears.threshold == pytest.approx(counted.threshold, abs=0.02)


def test_a_peer_that_counts_what_is_no_claim_breaks_nothing() -> None:
    held = HeldRate(Escalation(), 0.7)
    held.heard(Traffic(5, 0, {-3: 2, STEPS + 900: 3}))
    assert 0 <= held.threshold <= NEVER
