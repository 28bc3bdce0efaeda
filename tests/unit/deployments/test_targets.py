"""Several upstreams behind one tier: asked in order, and left alone when they ask for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from deployments.gateway.hints import Hints
from deployments.gateway.privacy_gate import PrivacyGate
from deployments.privacy.policy import Subject
from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    EngineFailure,
    InvalidRequest,
    LoopDetected,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.settings.app import AppConfig, TierConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.prices import check_prices
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.targets import TargetsConfig
from deployments.upstream.engine import UpstreamEngine
from deployments.upstream.targets import TargetsEngine
from tests.fakes import FakeTier, Setting, chunks_of
from tests.fakes import chat as asked_chat
from tests.scripted_upstream import (
    DONE,
    FOREVER,
    HANG_UP,
    OK,
    ROLE,
    Script,
    Step,
    chat,
    framed,
    refused,
    said,
    sse,
)

STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
GOOD = sse(ROLE, said("good"), STOP, DONE)
QUICK = {"retry_backoff_s": 0.001, "first_token_timeout_s": 0.5, "connect_timeout_s": 0.5}


@contextlib.asynccontextmanager
async def targets(
    *scripts: Sequence[Sequence[Step]], **each: Any
) -> AsyncIterator[tuple[TargetsEngine, list[Script]]]:
    """An engine in front of one scripted upstream a script; `each` are settings of target N."""
    made = [Script(answers) for answers in scripts]
    async with contextlib.AsyncExitStack() as stack:
        configs = []
        for at, script in enumerate(made):
            server = await asyncio.start_server(script.talk, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            more = each.get(f"t{at}", {})
            configs.append({"name": f"t{at}", "base_url": url, "model": "m", **QUICK, **more})
        config = TargetsConfig.model_validate({"targets": configs})
        engine = TargetsEngine(
            config, frozenset({"tools"}), lambda one: UpstreamEngine(one, None, PrivacyConfig())
        )
        await engine.start()
        try:
            yield engine, made
        finally:
            await engine.stop()
        await asyncio.gather(*(talk for script in made for talk in script.talks))


async def got(engine: TargetsEngine, request: EngineRequest) -> tuple[bytes, set[str], Chunk]:
    chunks = [chunk async for chunk in engine.generate(request)]
    return b"".join(c.data for c in chunks), {c.model for c in chunks}, chunks[-1]


BEFORE: dict[str, Sequence[Step]] = {
    "hangs up": [],
    "500": refused(500),
    "503": refused(503),
    "429": refused(429),
    "429 with a wait": refused(429, "retry-after: 30\r\n"),
    "a rejected key": refused(401),
    "an unknown model": refused(404),
    "a redirect": refused(302, "location: http://elsewhere.example/\r\n"),
    "a redirect to no address": refused(302, "location: gateway:8080\r\n"),
    "a redirect to a script": refused(307, "location: javascript:x\r\n"),
    "a redirect to nothing": refused(301, "location: about:blank\r\n"),
    "a busy one until no date": refused(
        429, "retry-after: Wed, 21 Oct 99999999999 07:28:00 GMT\r\n"
    ),
    "no first token": [OK, framed(ROLE), FOREVER],
    "no head": [FOREVER],
    "cut before a token": [OK, framed(ROLE), HANG_UP],
    "no JSON": sse(b"data: {nonsense\n\n"),
    "no events": sse(b"<html>busy</html>"),
    "an empty answer": sse(DONE),
    "an error for an answer": sse(b'data: {"error":{"message":"overloaded"}}\n\n'),
    "a loop": refused(508),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", BEFORE.values(), ids=BEFORE)
async def test_what_fails_before_a_byte_is_answered_by_the_next(
    fault: Sequence[Step], stream: bool
) -> None:
    async with targets([fault], [GOOD]) as (engine, scripts):
        data, names, last = await got(engine, chat(stream=stream, timeout_s=3.0))
    assert b"good" in data
    assert names == {"t1"}
    assert last.done
    assert [len(script.bodies) for script in scripts] == [1, 1]


async def test_after_a_byte_nobody_else_is_asked() -> None:
    cut: list[Step] = [OK, framed(ROLE), framed(said("half")), HANG_UP]
    async with targets([cut], [GOOD]) as (engine, scripts):
        with pytest.raises(EngineFailure):
            await got(engine, chat())
    assert scripts[1].bodies == []


async def test_a_document_that_breaks_half_way_was_not_sent_and_its_tokens_are_booked() -> None:
    begun = [framed(said("half"))] * 3
    cut: list[Step] = [OK, framed(ROLE), *begun, 1.2, framed(said("more")), HANG_UP]
    async with targets([cut], [GOOD]) as (engine, _):
        data, names, last = await got(engine, chat(stream=False, timeout_s=8.0))
    assert b"good" in data
    assert names >= {"t1"}
    assert last.usage.completion_tokens > 1


async def test_a_wrong_request_is_not_asked_elsewhere() -> None:
    async with targets([refused(400)], [GOOD]) as (engine, scripts):
        with pytest.raises(InvalidRequest):
            await got(engine, chat())
    assert scripts[1].bodies == []


async def test_a_busy_target_is_left_alone_for_as_long_as_it_asks() -> None:
    busy = refused(429, "retry-after: 1\r\n")
    async with targets([busy, GOOD], [GOOD]) as (engine, scripts):
        began_s = time.monotonic()
        names = [(await got(engine, chat()))[1] for _ in range(5)]
        assert names == [{"t1"}] * 5
        assert len(scripts[0].bodies) == 1
        assert engine.closed() == {"t0": True, "t1": False}
        while engine.closed()["t0"]:  # noqa: ASYNC110  # a clock has no event
            await asyncio.sleep(0.05)
        assert time.monotonic() - began_s >= 0.99
        assert (await got(engine, chat()))[1] == {"t0"}


async def test_a_dead_target_costs_nothing_once_its_breaker_is_open() -> None:
    async with targets([refused(503)], [GOOD], t0={"breaker_failures": 2}) as (engine, scripts):
        for _ in range(6):
            assert (await got(engine, chat()))[1] == {"t1"}
    assert len(scripts[0].bodies) == 2


async def test_a_request_that_must_stay_goes_to_the_target_in_the_cluster_alone() -> None:
    async with targets([GOOD], [GOOD], t1={"in_cluster": True}) as (engine, scripts):
        assert (await got(engine, chat(local_only=True)))[1] == {"t1"}
    assert scripts[0].bodies == []


async def test_a_request_passes_targets_that_cannot_what_it_needs() -> None:
    sees = {"capabilities": ["vision"]}
    async with targets([GOOD], [GOOD], t1=sees) as (engine, scripts):
        request = EngineRequest("chat", chat().body, "r", needs=("vision",))
        assert (await got(engine, request))[1] == {"t1"}
        both = EngineRequest("chat", chat().body, "r", needs=("vision", "tools"))
        with pytest.raises(TierUnavailable, match="No target"):
            await got(engine, both)
    assert scripts[0].bodies == []


@pytest.mark.parametrize(
    ("scripts", "error"),
    [
        (([refused(503)], [refused(429, "retry-after: 7\r\n")]), Overloaded),
        (([refused(429, "retry-after: 7\r\n")], [refused(503)]), TierUnavailable),
    ],
)
async def test_when_nobody_answers_the_soonest_time_to_come_back_is_said(
    scripts: Any, error: type[ServingError]
) -> None:
    async with targets(*scripts, t1={"max_retries": 0}) as (engine, _):
        with pytest.raises(error) as caught:
            await got(engine, chat())
    assert caught.value.retry_after_s == 5


@pytest.mark.parametrize("busy_first", [True, False])
async def test_too_long_for_one_target_is_not_said_while_another_is_busy(busy_first: bool) -> None:
    scripts = [[refused(429, "retry-after: 30\r\n")], [refused(413)]]
    async with targets(*(scripts if busy_first else scripts[::-1])) as (engine, _):
        with pytest.raises(Overloaded) as caught:
            await got(engine, chat())
    assert caught.value.retry_after_s == 30


async def test_only_the_last_target_is_tried_again() -> None:
    async with targets([refused(503)], [refused(503), GOOD]) as (engine, scripts):
        assert (await got(engine, chat()))[1] == {"t1"}
    assert [len(script.bodies) for script in scripts] == [1, 2]


async def test_each_hop_is_counted() -> None:
    async with targets([GOOD]) as (engine, scripts):
        await got(engine, EngineRequest("chat", chat().body, "r", hops=2))
    assert b"x-smallfirst-hops: 3\r\n" in scripts[0].heads[0].lower()


ONE = {"name": "a", "base_url": "https://a.example/v1", "model": "m"}
MISTAKES = {
    "two of one name": ([ONE, {**ONE, "base_url": "https://b.example/v1"}], "named 'a'"),
    "one place twice": ([ONE, {**ONE, "name": "b"}], "same model at the same address"),
    "one place in capitals": (
        [ONE, {**ONE, "name": "b", "base_url": "https://A.example/v1"}],
        "same model at the same address",
    ),
    "one place with its port": (
        [ONE, {**ONE, "name": "b", "base_url": "https://a.example:443//v1/"}],
        "same model at the same address",
    ),
    "none": ([], r"^\S+: large\.targets: "),
    "no name": ([{k: v for k, v in ONE.items() if k != "name"}], r"large\.targets\.0\.name: "),
    "no address": ([{**ONE, "base_url": "a.example"}], r"large\.targets\.0\.base_url: [^(]+$"),
    "no price": ([{**ONE, "usd_per_million_prompt_tokens": float("inf")}], "finite number"),
}


@pytest.mark.parametrize(("listed", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_list_is_refused_in_one_line(listed: Any, words: str) -> None:
    from deployments.settings.app import parse_app_config

    with pytest.raises(ConfigError, match=words) as caught:
        parse_app_config({"large": {"model": "big", "targets": listed}}, "x")
    assert "\n" not in str(caught.value)


def test_targets_stand_in_the_place_of_an_engine() -> None:
    tier = TierConfig.model_validate({"model": "big", "targets": [ONE]})
    assert TierConfig.model_validate(tier.model_dump()) == tier
    assert tier.remote
    inside = {**ONE, "name": "b", "base_url": "http://b.svc/v1", "in_cluster": True}
    both = TierConfig.model_validate({"model": "big", "targets": [ONE, inside]})
    assert (tier.leads_out, both.remote, both.leads_out) == (True, False, True)
    alone = TierConfig.model_validate({"model": "big", "targets": [inside]})
    assert (alone.remote, alone.leads_out) == (False, False)
    with pytest.raises(ValueError, match="in the place of engine"):
        TierConfig.model_validate(
            {"model": "big", "targets": [ONE], "engine": {"kind": "simulated"}}
        )


async def test_an_answer_is_booked_at_the_price_of_who_gave_it() -> None:
    priced = {
        **ONE,
        "usd_per_million_prompt_tokens": 0.0,
        "usd_per_million_completion_tokens": 5.0,
    }
    config = {"large": {"model": "big", "targets": [priced]}}
    named = [chunk._replace(model="a") for chunk in chunks_of("x", "y")]
    setting = Setting(large=FakeTier(named), config=config)
    exchange = await setting.answer(asked_chat("Hi", model="large"))
    assert exchange.last is not None
    assert exchange.last.model == "a"
    assert exchange.cost_nano_usd == 2 * 5 * 1000


def test_a_target_that_leads_back_is_noticed() -> None:
    from starlette.requests import Request

    from deployments.http.headers import MAX_HOPS, hints

    def request(hops: str) -> Request:
        return Request({"type": "http", "headers": [(b"x-smallfirst-hops", hops.encode())]})

    assert hints(request(str(MAX_HOPS))).hops == MAX_HOPS
    assert hints(request("nonsense")).hops == 0
    for hops in (str(MAX_HOPS + 1), "9" * 5000):
        with pytest.raises(LoopDetected):
            hints(request(hops))


@pytest.mark.parametrize("second", [{"in_cluster": True}, {"in_cluster": False}], ids=str)
async def test_whose_requests_must_stay_is_asked_where_one_target_is_outside(second: Any) -> None:
    other = {**ONE, "name": "b", "base_url": "http://b.svc/v1", **second}
    privacy = {"local": {"tenants": ["clinic"]}}
    large = {"model": "big", "targets": [ONE, other]}
    gate = PrivacyGate(AppConfig.model_validate({"large": large, "privacy": privacy}))
    asked = Hints("r1", subject=Subject(tenant="clinic"))
    assert await gate.local_by(asked_chat("Hi", model="large"), asked) == ("tenant",)


@pytest.mark.parametrize("priced", [True, False])
def test_a_target_outside_needs_a_price_beside_one_inside(priced: bool) -> None:
    price = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 2.0}
    inside = {**ONE, "name": "b", "base_url": "http://b.svc/v1", "in_cluster": True}
    large = {"model": "big", "targets": [{**ONE, **(price if priced else {})}, inside]}
    config = AppConfig.model_validate({"large": large, "accounts": {"store": "/x/a.sqlite"}})
    with nullcontext() if priced else pytest.raises(ConfigError, match="nobody knows what big"):
        check_prices(config)


def test_the_default_has_one_engine() -> None:
    assert AppConfig().large.engine.kind == "vllm"
