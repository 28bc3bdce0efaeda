"""An answer waits for its judgement, and not one byte of it goes out before."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from deployments.accounting.booking import record_of
from deployments.accounting.exchange import Exchange
from deployments.accounting.ledger_line import ledger_line
from deployments.accounting.price import Price
from deployments.gateway.hints import Hints
from deployments.gateway.judge import HOLD_TOKENS
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.errors import EngineDead, EngineFailure, TierUnavailable
from tests.fakes import FakeHealth, FakeScorer, FakeTier, Setting, chat, chunks_of

REFUSAL = "I'm sorry, but I can't help with that."
ENGINE = {"engine": {"kind": "simulated"}}
REMOTE = {"kind": "upstream", "base_url": "http://big.example/v1", "model": "b"}


def event(text: str, at: int) -> Chunk:
    data = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return Chunk(b"data: " + orjson.dumps(data) + b"\n\n", Usage(10, at), bool(text))


def stream_of(text: str, finish: str | None = "stop") -> list[Chunk]:
    """A whole streamed answer, one word an event."""
    words = text.split(" ")
    said = [event(word if at == 1 else f" {word}", at) for at, word in enumerate(words, 1)]
    return [*said, Chunk(b"", Usage(10, len(words)), finish_reason=finish, done=True)]


def document_of(text: str) -> list[Chunk]:
    choices = [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]
    data = orjson.dumps({"choices": choices})
    return [Chunk(data, Usage(10, 7), bool(text), "stop", done=True)]


def tries(exchange: Exchange) -> list[str]:
    return [f"{a.tier} {a.cause} {a.outcome}" for a in exchange.attempts]


async def got(setting: Setting, stream: bool = True, **hints: Any) -> tuple[bytes, Exchange]:
    """The bytes that the client got, and the exchange."""
    asked = Hints(**{"request_id": "r", **hints})
    request = chat("Hi", stream=stream)
    async with setting.gateway.admit(request, asked, time.perf_counter()) as answering:
        await answering.open()
        data = b"".join([part async for part in answering])
    return data, setting.settled[-1]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_is_answered_by_the_large_tier_with_no_byte_of_it_sent(
    stream: bool,
) -> None:
    refusal = stream_of(REFUSAL) if stream else document_of(REFUSAL)
    setting = Setting(small=FakeTier(refusal), large=FakeTier(chunks_of("good")))
    data, exchange = await got(setting, stream)
    assert data == b"good"
    assert tries(exchange) == ["small classifier escalated", "large answer_check ok"]
    small = exchange.attempts[0]
    assert (small.answer_score, small.answer_fault) == (1.0, "refusal")
    assert setting.tiers["small"].opened[0].closed == 1
    line = ledger_line(exchange, 0.0)
    assert line["wasted_completion_tokens"] == small.usage.completion_tokens > 0
    assert line["attempts"][0]["answer_fault"] == "refusal"
    assert line["answer_score"] == 1.0
    # Only a whole answer says how long the small tier's would have been.
    record = record_of(exchange, Price(0, 0), "c")
    lengths = small.usage.completion_tokens, exchange.usage.completion_tokens
    assert (record.pair_small_tokens, record.pair_large_tokens) == ((0, 0) if stream else lengths)


@pytest.mark.parametrize(
    ("begins", "held_tokens"),
    # A refusal may begin so, a loop may, and neither.
    [("I say", HOLD_TOKENS), ("so so so", 4), ("one", 2)],
)
async def test_a_good_beginning_is_sent_whole_and_in_order(begins: str, held_tokens: int) -> None:
    text = begins + " two three four five six seven eight nine ten eleven twelve" * 3
    setting = Setting(small=FakeTier(stream_of(text)))
    data, exchange = await got(setting)
    assert data == b"".join(chunk.data for chunk in stream_of(text))
    assert tries(exchange) == ["small classifier ok"]
    small = exchange.attempts[0]
    assert small.answer_score == 0.0
    assert small.held_tokens == held_tokens
    assert small.hold_s >= 0


@pytest.mark.parametrize("token", ["!", "a", "好", "。", "😀", "\n"])
async def test_one_token_without_end_is_answered_by_the_large_tier(token: str) -> None:
    said = [event(token, at) for at in range(1, 41)]
    answer = [*said, Chunk(b"", Usage(10, 40), finish_reason="length", done=True)]
    setting = Setting(small=FakeTier(answer), large=FakeTier(chunks_of("good")))
    data, exchange = await got(setting)
    assert data == b"good"
    assert exchange.attempts[0].answer_fault == ("empty" if token == "\n" else "repetition")


async def test_a_blank_beginning_is_held_until_it_says_something() -> None:
    answer = [event("\n", at) for at in range(1, 21)] + stream_of("I say Paris. It is.")
    setting = Setting(small=FakeTier(answer))
    data, exchange = await got(setting)
    assert data == b"".join(chunk.data for chunk in answer)
    assert exchange.attempts[0].answer_fault is None


async def test_a_number_that_the_operator_names_is_held() -> None:
    text = "one two three four five six seven eight"
    setting = Setting(small=FakeTier(stream_of(text)), config={"answer_check": {"hold_tokens": 5}})
    _, exchange = await got(setting)
    assert exchange.attempts[0].held_tokens == 5


async def test_the_end_of_a_sentence_ends_the_hold() -> None:
    setting = Setting(small=FakeTier(stream_of("I say Paris. And more of it follows here now.")))
    _, exchange = await got(setting)
    assert exchange.attempts[0].held_tokens == 3


class SlowTier(FakeTier):
    """Gives its first chunk at once, and the rest when told to."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(*answers)
        self.go_on = asyncio.Event()

    async def open(self, request: Any, deadline_s: float) -> Any:
        answer = await super().open(request, deadline_s)
        first, told, follows = [True], self.go_on, answer.__anext__

        class Slow:
            closed = 0

            def __aiter__(self) -> Any:
                return self

            async def __anext__(self) -> Chunk:
                if not first.pop() if first else True:
                    await told.wait()
                return await follows()

            async def close(self) -> None:
                self.closed += 1

        self.slow = Slow()
        return self.slow


async def test_a_time_limit_ends_the_hold_and_loses_nothing() -> None:
    small = SlowTier(stream_of(REFUSAL))
    setting = Setting(small=small, config={"answer_check": {"hold_ms": 20}})
    async with setting.gateway.admit(chat("Hi", stream=True), Hints("r"), 0.0) as answering:
        await asyncio.wait_for(answering.open(), 5)
        small.go_on.set()
        data = b"".join([part async for part in answering])
    assert data == b"".join(chunk.data for chunk in stream_of(REFUSAL))
    assert tries(setting.settled[0]) == ["small classifier ok"]
    assert setting.settled[0].attempts[0].held_tokens == 1


async def test_a_client_that_leaves_during_the_hold_stops_the_generation() -> None:
    small = SlowTier(stream_of("one two three"))
    setting = Setting(small=small, config={"answer_check": {"hold_ms": 60_000}})

    async def ask() -> None:
        async with setting.gateway.admit(chat("Hi", stream=True), Hints("r"), 0.0) as answering:
            await answering.open()

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert small.slow.closed == 1
    assert setting.settled[0].outcome == "cancelled"
    assert setting.settled[0].attempts[0].usage == Usage(10, 1)


BREAKS = {
    "fails": EngineFailure("x"),
    "loses its replica": TierUnavailable("x"),
}


@pytest.mark.parametrize("error", BREAKS.values(), ids=BREAKS)
async def test_a_break_during_the_hold_is_one_before_the_first_byte(error: Exception) -> None:
    setting = Setting(
        small=FakeTier([*stream_of("I say three")[:2], error]), large=FakeTier(chunks_of("good"))
    )
    data, exchange = await got(setting)
    assert data == b"good"
    assert tries(exchange)[1] == "large small_unavailable ok"


async def test_an_engine_that_dies_during_the_hold_is_tried_once_more() -> None:
    broken = [*stream_of("one two")[:1], EngineDead("died")]
    setting = Setting(small=FakeTier(broken, stream_of("It works again.")))
    data, exchange = await got(setting)
    assert data == b"".join(chunk.data for chunk in stream_of("It works again."))
    assert tries(exchange) == ["small classifier engine_dead", "small classifier ok"]


@pytest.mark.parametrize("stream", [True, False])
async def test_where_nobody_can_better_an_answer_it_is_asked_for_again(stream: bool) -> None:
    refusal = stream_of(REFUSAL) if stream else document_of(REFUSAL)
    setting = Setting(small=FakeTier(refusal), large=FakeTier(TierUnavailable("x")))
    data, exchange = await got(setting, stream)
    assert data == b"".join(chunk.data for chunk in refusal)
    assert tries(exchange) == [
        "small classifier escalated",
        "large answer_check tier_unavailable",
        "small large_unavailable ok",
    ]


KEPT: dict[str, tuple[dict[str, Any], dict[str, Any], float | None]] = {
    "switched off by the client": ({}, {"answer_check": False}, None),
    "switched off": ({"answer_check": {"enabled": False}}, {}, None),
    "must stay, large is outside": (
        {"large": {"model": "b", "engine": REMOTE}},
        {"local_only": True},
        1.0,
    ),
    "nothing may escalate": ({"escalation": {"target_rate": 0.0}}, {}, 1.0),
    "the cap is reached": ({"escalation": {"target_rate": 0.0, "max_rate": 0.0}}, {}, 1.0),
    "a sure question": ({"answer_check": {"sure_below": 0.5}}, {}, 1.0),
}


@pytest.mark.parametrize(("config", "hints", "score"), KEPT.values(), ids=KEPT)
async def test_a_refusal_is_kept_where(
    config: dict[str, Any], hints: dict[str, Any], score: float | None
) -> None:
    setting = Setting(small=FakeTier(stream_of(REFUSAL)), config=config)
    data, exchange = await got(setting, **hints)
    assert data == b"".join(chunk.data for chunk in stream_of(REFUSAL))
    assert exchange.attempts[0].answer_score == score
    assert exchange.attempts[0].held_tokens == 0
    assert setting.tiers["large"].requests == []


async def test_a_large_tier_that_is_down_is_not_held_for() -> None:
    setting = Setting(small=FakeTier(stream_of(REFUSAL)), health=FakeHealth("large"))
    _, exchange = await got(setting)
    assert exchange.attempts[0].held_tokens == 0


async def test_escalations_by_the_answer_count_against_the_one_target() -> None:
    setting = Setting(FakeScorer(0.3), FakeTier(stream_of(REFUSAL)), FakeTier(chunks_of("good")))
    tiers = []
    for _ in range(1000):
        exchange = await setting.answer(chat("Hi", stream=True))
        assert exchange.last is not None
        tiers.append(exchange.last.tier)
    assert tiers.count("large") <= 20 + 100
    assert abs(tiers[500:].count("large") / 500 - 0.05) <= 0.01


async def test_a_named_model_is_not_judged() -> None:
    setting = Setting(small=FakeTier(stream_of(REFUSAL)))
    exchange = await setting.answer(chat("Hi", stream=True, model="small"))
    assert exchange.attempts[0].answer_score is None
