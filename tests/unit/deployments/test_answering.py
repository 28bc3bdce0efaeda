"""One request's way: what is booked, what binds the next request, what a death costs."""

import time
from typing import Any

import pytest

from deployments.accounting.exchange import Exchange
from deployments.gateway.hints import Hints
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineDead,
    EngineFailure,
    Overloaded,
    TierUnavailable,
)
from tests.fakes import FakeScorer, FakeTier, Setting, chat, chunks_of

PRICES = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 3.0}
TIER = {"engine": {"kind": "simulated"}, **PRICES}
PRICED: dict[str, Any] = {"small": {"model": "s", **TIER}, "large": {"model": "l", **TIER}}
# The first token goes out at once.
AT_ONCE: dict[str, Any] = {**PRICED, "answer_check": {"hold_tokens": 1}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
STEP = (CALL, {"role": "tool", "tool_call_id": "c1", "content": "42"})
TOOLS = [{"type": "function", "function": {"name": "f"}}]
EMPTY = [Chunk(b"x", Usage(10, 1001), finish_reason="stop", done=True)]
DEAD = EngineDead("died")


def tries(exchange: Exchange) -> list[tuple[Any, ...]]:
    return [(a.tier, a.outcome, tuple(a.usage)) for a in exchange.attempts]


# -- what is booked ---------------------------------------------------------------------------


async def test_the_tokens_of_an_answer_that_nobody_got_are_booked() -> None:
    setting = Setting(small=FakeTier(EMPTY), large=FakeTier(chunks_of("a", "b")), config=PRICED)
    exchange = await setting.answer(chat("Hi"))
    assert tries(exchange) == [("small", "empty", (10, 1001)), ("large", "ok", (10, 2))]
    assert exchange.cost_nano_usd == (10 + 3 * 1001 + 10 + 3 * 2) * 1000
    assert exchange.outcome == "ok"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_stream_that_its_client_leaves_is_booked_as_far_as_it_came(stream: bool) -> None:
    setting = Setting(small=FakeTier(chunks_of(*"abcdefgh")), config=AT_ONCE)
    async with setting.gateway.admit(chat("Hi", stream=stream), Hints("r"), 0.0) as answering:
        await answering.open()
        read = aiter(answering)
        for _ in range(4):
            await anext(read)
    (exchange,) = setting.settled
    assert (exchange.outcome, exchange.usage) == ("cancelled", Usage(10, 4))
    assert exchange.cost_nano_usd == (10 + 3 * 4) * 1000
    assert setting.tiers["small"].opened[0].closed == 1


BREAKS: dict[str, tuple[Any, str]] = {
    "fails": ([*chunks_of("a", "b")[:2], EngineFailure("x")], "engine_failure"),
    "is cut": (chunks_of("a", "b")[:2], "engine_failure"),
    "loses its replica": ([*chunks_of("a", "b")[:2], TierUnavailable("x")], "tier_unavailable"),
    "meets a bug of ours": ([*chunks_of("a", "b")[:2], KeyError("x")], "internal_error"),
}


@pytest.mark.parametrize(("items", "outcome"), BREAKS.values(), ids=BREAKS)
async def test_a_stream_that_breaks_is_booked_as_far_as_it_came(items: Any, outcome: str) -> None:
    setting = Setting(small=FakeTier(items), config=AT_ONCE)
    try:
        exchange = await setting.answer(chat("Hi", stream=True))
    except KeyError:
        (exchange,) = setting.settled
    assert tries(exchange) == [("small", outcome, (10, 2))]
    assert setting.tiers["large"].requests == []


async def test_nothing_is_asked_of_an_answer_that_is_whole() -> None:
    items = [*chunks_of("a"), EngineFailure("the replica died just then")]
    exchange = await Setting(small=FakeTier(items)).answer(chat("Hi", stream=True))
    assert (exchange.outcome, exchange.usage) == ("ok", Usage(10, 1))


async def test_the_replica_says_under_which_name_it_answered() -> None:
    named = [chunk._replace(model="fresh-7b") for chunk in chunks_of("a")]
    exchange = await Setting(small=FakeTier(named), config=PRICED).answer(chat("Hi"))
    assert exchange.last is not None
    assert exchange.last.model == "fresh-7b"


# what the small tier gives, fields -> (attempts, outcome)
NOTHING = [Chunk(b"{}", Usage(10, 0), done=True)]
CHECKS: dict[str, tuple[Any, dict[str, Any], list[str], str]] = {
    "no choices": (NOTHING, {}, ["small empty", "large ok"], "ok"),
    "no choices, named": (NOTHING, {"model": "small"}, ["small engine_failure"], "engine_failure"),
    "empty, named": (EMPTY, {"model": "small"}, ["small ok"], "ok"),
    "cut before a word": (
        chunks_of("", finish=None)[:1],
        {},
        ["small engine_failure", "large ok"],
        "ok",
    ),
    "breaks before a word": (
        [*chunks_of("")[:1], EngineFailure("x")],
        {},
        ["small engine_failure", "large ok"],
        "ok",
    ),
    "too long": (
        ContextLengthExceeded("x"),
        {},
        ["small context_length_exceeded", "large ok"],
        "ok",
    ),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("small", "fields", "asked", "outcome"), CHECKS.values(), ids=CHECKS)
async def test_an_answer_that_has_said_nothing_can_still_come_from_elsewhere(
    small: Any, fields: Any, asked: list[str], outcome: str, stream: bool
) -> None:
    setting = Setting(small=FakeTier(small))
    exchange = await setting.answer(chat("Hi", stream=stream, **fields))
    assert [f"{a.tier} {a.outcome}" for a in exchange.attempts] == asked
    assert exchange.outcome == outcome
    assert all(answer.closed for tier in setting.tiers.values() for answer in tier.opened)


# -- tool loops -------------------------------------------------------------------------------

TIGHT: dict[str, Any] = {"escalation": {"target_rate": 0.01, "max_rate": 0.01, "burst": 1}}


async def test_a_tool_loop_keeps_its_tier_and_costs_one_escalation() -> None:
    setting = Setting(FakeScorer(0.9), config=TIGHT)
    loop = [await setting.where(chat("Hard", *STEP * n, tools=TOOLS)) for n in range(4)]
    assert loop == ["large classifier", *["large tool_loop"] * 3]
    assert len(setting.scorer.asked) == 1
    assert await setting.where(chat("Hard", *STEP, "Next", tools=TOOLS)) == "small budget_exhausted"


async def test_a_small_tool_loop_stays_small_whatever_its_results_look_like() -> None:
    setting = Setting(FakeScorer(0.1))
    await setting.answer(chat("Easy", tools=TOOLS))
    setting.scorer.complexity = 0.99
    assert await setting.where(chat("Easy", *STEP, tools=TOOLS)) == "small tool_loop"


async def test_a_loop_stays_where_a_busy_tier_sent_it() -> None:
    setting = Setting(small=FakeTier(Overloaded("x"), chunks_of("a")))
    assert await setting.where(chat("Easy", tools=TOOLS)) == "large small_saturated"
    assert await setting.where(chat("Easy", *STEP, tools=TOOLS)) == "large tool_loop"


async def test_a_loop_keeps_the_adapter_of_its_domain() -> None:
    setting = Setting(FakeScorer(0.1, "legal"))
    setting.gateway.names.adapters = {"small": {"legal-7b": "legal"}, "large": {}}
    for n in range(2):
        exchange = await setting.answer(chat("Easy", *STEP * n, tools=TOOLS))
        assert exchange.attempts[0].model == "legal-7b"


async def test_another_caller_does_not_continue_the_loop() -> None:
    setting = Setting(FakeScorer(0.9))
    await setting.answer(chat("Hard", tools=TOOLS), caller=b"a")
    setting.scorer.complexity = 0.1
    step = chat("Hard", *STEP, tools=TOOLS)
    assert await setting.where(step, caller=b"b") == "small classifier"
    assert await setting.where(step, caller=b"a") == "large tool_loop"


async def test_a_loop_begun_at_another_gateway_goes_by_its_turns_score_on_credit() -> None:
    setting = Setting(FakeScorer(0.9), config=TIGHT)
    await setting.answer(chat("Spends the budget"))
    loops = [await setting.where(chat(f"Hard {n}", *STEP, tools=TOOLS)) for n in range(3)]
    assert loops == ["large classifier", "small budget_exhausted", "small budget_exhausted"]
    assert setting.scorer.asked[1] == chat("Hard 0").conversation
    assert await setting.where(chat("Hard 0", *STEP * 2, tools=TOOLS)) == "large tool_loop"


async def test_a_named_model_is_asked_whatever_the_turn_is_used_to() -> None:
    setting = Setting(FakeScorer(0.9))
    await setting.answer(chat("Hard", tools=TOOLS))
    named = chat("Hard", *STEP, tools=TOOLS, model="small")
    assert await setting.where(named) == "small client_model"


@pytest.mark.parametrize("escalation", [{"target_rate": 1.0}, {"hold": False, "max_rate": 1.0}])
async def test_a_cap_of_all_lets_all_go_large_however_small_the_burst(escalation: Any) -> None:
    config = {"escalation": {**escalation, "burst": 1}}
    setting = Setting(FakeScorer(0.9), config=config)
    assert {await setting.where(chat("Hard")) for _ in range(5)} == {"large classifier"}


# -- sessions ---------------------------------------------------------------------------------


async def test_a_session_costs_budget_and_ends_when_its_turns_are_easy() -> None:
    budget = {"escalation": {"hold": False, "max_rate": 0.05, "burst": 3}}
    setting = Setting(FakeScorer(0.9), config=budget)
    went = []
    for complexity in (0.9, 0.6, 0.1, 0.6, 0.9, 0.6):
        setting.scorer.complexity = complexity
        went.append(await setting.where(chat("Hi"), session="default"))
    assert went == [
        "large classifier",
        "large session",
        "small classifier",
        "small classifier",
        "large classifier",
        "small budget_exhausted",
    ]


async def test_an_easy_session_after_one_hard_turn_is_small() -> None:
    setting = Setting(FakeScorer(0.9))
    await setting.answer(chat("Hard"), session="default")
    setting.scorer.complexity = 0.1
    went = {await setting.where(chat("Hi"), session="default") for _ in range(29)}
    assert went == {"small classifier"}


async def test_an_image_alone_is_not_scored_and_stays_in_its_session() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sees = {"engine": {"kind": "simulated"}, "capabilities": ["vision"]}
    both = {"small": {"model": "s", **sees}, "large": {"model": "l", **sees}}
    setting = Setting(FakeScorer(0.9), config=both)
    look = chat("Hard", {"role": "user", "content": [image]})
    assert await setting.where(look) == "small classifier"
    assert setting.scorer.asked == []
    assert setting.settled[0].score_s is None  # not counted as a classifier that did not answer
    await setting.answer(chat("Hard"), session="s")
    assert await setting.where(look, session="s") == "large session"


# -- engines that die -------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["auto", "small"])
async def test_a_request_that_kills_is_not_passed_on_and_refused_when_it_comes_again(
    model: str,
) -> None:
    setting = Setting(small=FakeTier(DEAD))
    poison = chat("Poison", model=model)
    for number in range(6):
        exchange = await setting.answer(poison, request_id=f"r{number}")
        assert exchange.outcome == "engine_killed"
    assert len(setting.tiers["small"].requests) == 1
    assert setting.tiers["large"].requests == []
    assert len(setting.settled) == 6


async def test_the_other_requests_are_answered_while_one_is_refused() -> None:
    setting = Setting(small=FakeTier(DEAD, chunks_of("a")))
    await setting.answer(chat("Poison"), request_id="r1")
    assert (await setting.answer(chat("Hi"), request_id="r2")).outcome == "ok"
    assert (await setting.answer(chat("Hi"), request_id="r1")).outcome == "engine_killed"


async def test_two_streams_that_an_engine_died_under_mark_a_request() -> None:
    cut = [*chunks_of("a")[:1], DEAD]
    setting = Setting(small=FakeTier(cut, cut, chunks_of("never")), config=AT_ONCE)
    outcomes = [(await setting.answer(chat("Poison", stream=True))).outcome for _ in range(3)]
    assert outcomes == ["engine_dead", "engine_dead", "engine_killed"]


async def test_a_death_before_the_first_word_costs_one_more_try_on_the_same_tier() -> None:
    silent = [*chunks_of("")[:1], DEAD]
    setting = Setting(small=FakeTier(silent, chunks_of("a")))
    exchange = await setting.answer(chat("Hi", stream=True))
    assert tries(exchange) == [("small", "engine_dead", (10, 1)), ("small", "ok", (10, 1))]
    setting = Setting(small=FakeTier(silent))
    exchange = await setting.answer(chat("Hi", stream=True))
    assert [a.tier for a in exchange.attempts] == ["small", "small"]
    assert exchange.outcome == "engine_killed"


async def test_a_dry_run_binds_spends_and_settles_nothing() -> None:
    setting = Setting(FakeScorer(0.9), config=TIGHT)
    for _ in range(3):
        dry = await setting.gateway.dry_run(chat("Hard", tools=TOOLS), Hints("r", session="s"))
        assert (dry["tier"], dry["cause"]) == ("large", "classifier")
    assert setting.settled == []
    await setting.answer(chat("Hard", tools=TOOLS))
    dry = await setting.gateway.dry_run(chat("Hard", *STEP, tools=TOOLS), Hints("r"))
    assert (dry["tier"], dry["cause"], dry["score"]) == ("large", "tool_loop", None)


async def test_the_time_of_a_request_begins_with_its_arrival() -> None:
    setting = Setting()
    arrived_s = time.perf_counter() - 5.0
    async with setting.gateway.admit(chat("Hi"), Hints("r"), arrived_s) as answering:
        await answering.open()
        async for _ in answering:
            pass
    (exchange,) = setting.settled
    assert exchange.ttft_s is not None and exchange.ttft_s >= 5.0
