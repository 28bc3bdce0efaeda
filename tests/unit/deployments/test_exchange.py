"""An exchange has attempts, exact costs and one end, whatever order things happen in."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.accounting.exchange import Exchange
from deployments.accounting.price import Price
from deployments.accounting.settlement import Settlement
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import Overloaded
from deployments.routing.cause import Cause
from deployments.routing.route import Route
from deployments.settings.app import TierConfig

PRICED = TierConfig.model_validate(
    {
        "model": "m",
        "engine": {"kind": "simulated"},
        "usd_per_million_prompt_tokens": 2.0,
        "usd_per_million_completion_tokens": 0.0375,
    }
)
ROUTE = Route("small", Cause.CLASSIFIER, True)
tokens = st.integers(0, 10**7)


def exchange() -> Exchange:
    return Exchange("r1", "chat", "auto", False, 0.0)


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        ((0, 0), 0),
        ((1_000_000, 0), 2 * 10**9),
        ((1, 0), 2000),
        ((0, 1), 38),  # 37.5
        ((0, 2), 75),
        ((500_000, 100_000), 10**9 + 3_750_000),
    ],
)
def test_tokens_cost_the_tiers_prices(usage: tuple[int, int], nano_usd: int) -> None:
    assert Price.of(PRICED).cost_nano_usd(Usage(*usage)) == nano_usd


@given(st.lists(st.tuples(tokens, tokens), max_size=5))
def test_every_attempts_cost_is_in_the_sum_to_the_last_nano(used: list[tuple[int, int]]) -> None:
    one, price = exchange(), Price.of(PRICED)
    for usage in used:
        one.attempt(ROUTE, "m", price).usage = Usage(*usage)
    one.settle(None, lambda _: None)
    assert one.cost_nano_usd == sum(price.cost_nano_usd(Usage(*usage)) for usage in used)
    assert one.usage == (Usage(*used[-1]) if used else Usage(0, 0))


@pytest.mark.parametrize(
    ("said", "booked"),
    [
        (Usage(-1, -1), Usage(0, 0)),
        (Usage(2**80, 3), Usage(2**53, 3)),
        (Usage(True, 2), Usage(1, 2)),
    ],
)
def test_a_count_that_makes_no_sense_can_still_be_booked(said: Usage, booked: Usage) -> None:
    one = exchange()
    one.attempt(ROUTE, "m", Price(1, 1)).usage = said
    one.end(None)
    assert one.usage == booked


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Overloaded("the prompt text"), "overloaded"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (ValueError("the prompt text"), "internal_error"),
    ],
)
def test_a_request_ends_with_one_outcome(error: BaseException | None, outcome: str) -> None:
    one = exchange()
    attempt = one.attempt(ROUTE, "m", Price(1, 1))
    one.end(error)
    assert (one.outcome, attempt.outcome) == (outcome, outcome)
    one.end(Overloaded("late"))
    assert one.outcome == outcome


# noted end, error that leaves the `async with` -> outcome
ENDS: dict[str, tuple[Any, Any, str]] = {
    "nobody read it": ("open", None, "cancelled"),
    "whole": (None, None, "ok"),
    "left in the last moment": (None, asyncio.CancelledError(), "ok"),
    "our mistake after it": (None, UnicodeEncodeError("latin-1", "x", 0, 1, ""), "internal_error"),
    "our mistake before it": ("open", KeyError("x"), "internal_error"),
    "broken, then closed": (Overloaded("x"), None, "overloaded"),
    "broken, then cancelled": (Overloaded("x"), asyncio.CancelledError(), "overloaded"),
}


@pytest.mark.parametrize(("noted", "left_by", "outcome"), ENDS.values(), ids=ENDS)
def test_a_settlement_says_how_it_really_ended(noted: Any, left_by: Any, outcome: str) -> None:
    one, kept = exchange(), list[Exchange]()
    if noted != "open":
        one.end(noted)
    one.settle(left_by, kept.append)
    one.settle(RuntimeError("again"), kept.append)
    assert kept == [one]
    assert one.outcome == outcome
    assert one.total_s is not None


def test_the_first_byte_is_noted_once() -> None:
    one = exchange()
    one.first_byte()
    first = one.ttft_s
    one.first_byte()
    assert one.ttft_s == first


def test_what_a_keeper_raises_stops_neither_the_others_nor_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, failed = list[Exchange](), list[int]()

    def breaks(_: Exchange) -> None:
        raise ValueError("the prompt text")

    settlement = Settlement([breaks, kept.append, breaks], lambda: failed.append(1))
    for _ in range(2):
        settlement(exchange())
    assert len(kept) == 2
    assert len(failed) == 4
    assert len(caplog.records) == 1
    assert "ValueError" in caplog.text
    assert "prompt" not in caplog.text


def test_a_count_that_cannot_be_counted_is_no_ones_error() -> None:
    def breaks(*_: Any) -> None:
        raise ValueError

    Settlement([breaks], breaks)(exchange())
