"""The upstream engine against real HTTP servers: a simulated provider, and one that obeys a script.

Time-outs are short so that the tests are; none of them asks how long something took.
"""

import asyncio
import contextlib
import json
import pickle
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFailure,
    InvalidRequest,
    LocalOnlyConflict,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.settings.config_mistake import ConfigError
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.settings.upstream import UpstreamConfig
from deployments.simulated.server import SimulatedServer, SimulatedServerConfig
from deployments.upstream import engine as upstream_engine
from deployments.upstream.engine import UpstreamEngine
from tests.scripted_upstream import (
    DONE,
    FOREVER,
    HANG_UP,
    OK,
    ROLE,
    Step,
    answered,
    chat,
    events,
    failed,
    framed,
    refused,
    said,
    scripted,
    sse,
    upstream,
)

Serving = Callable[
    [SimulatedServerConfig], AbstractAsyncContextManager[tuple[SimulatedServer, str]]
]

PROVIDER = SimulatedServerConfig(
    model="big-1",
    engine=SimulatedEngineConfig(
        first_token_delay_s=0.001, inter_token_delay_s=0.001, allow_drills=True
    ),
    api_key="right",
    slow_headers_s=0.5,
)


# -- a provider as it should be -------------------------------------------------------------------


async def test_document_and_events_come_through_with_their_usage(serving: Serving) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url) as engine:
        raw, usage = await answered(engine, chat(stream=False))
        whole = json.loads(raw)
        assert usage == Usage(5, 8)
        raw, streamed_usage = await answered(engine, chat())
        assert streamed_usage == usage
        chunks = events(raw)
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        assert text == whole["choices"][0]["message"]["content"]
        assert b"[DONE]" not in raw


async def test_completions_use_their_own_path(serving: Serving) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url) as engine:
        request = EngineRequest("completions", {"prompt": "Once", "max_tokens": 3}, "r1")
        raw, usage = await answered(engine, request)
        assert json.loads(raw)["object"] == "text_completion"
        assert usage.completion_tokens == 3


async def test_usage_event_reaches_only_a_client_that_asked(serving: Serving) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url) as engine:
        raw, usage = await answered(engine, chat())
        assert all(chunk["choices"] for chunk in events(raw))
        raw, _ = await answered(engine, chat(stream_options={"include_usage": True}))
        assert events(raw)[-1]["usage"]["completion_tokens"] == usage.completion_tokens


async def test_load_counts_what_is_in_flight(serving: Serving) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url) as engine:
        assert engine.load().running == 0
        answer = engine.generate(chat(max_tokens=2000))
        await anext(answer)
        load = engine.load()
        assert (load.running, load.waiting) == (1, 0)
        await answer.aclose()
        assert engine.load().running == 0
        assert not engine.dead()


async def test_slow_upstream_is_no_stalled_engine() -> None:
    async with scripted([FOREVER]) as (engine, _):
        waiting = asyncio.create_task(answered(engine, chat(stream=False, timeout_s=20.0)))
        await asyncio.sleep(0.05)
        first = engine.load()
        assert first.running == 1
        assert engine.load().progress > first.progress
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


async def test_closing_the_answer_stops_the_generation_upstream(serving: Serving) -> None:
    async with serving(PROVIDER) as (provider, url), upstream(url) as engine:
        answer = engine.generate(chat(max_tokens=4000))
        await anext(answer)
        assert provider.engine.load().running == 1
        await answer.aclose()
        for _ in range(200):
            if provider.engine.load().running == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the upstream still generates")


LONG = [{"role": "user", "content": "x" * 4 * 9999}]


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        pytest.param({"max_tokens": 0}, InvalidRequest, "'max_tokens'", id="400"),
        pytest.param({"messages": LONG}, ContextLengthExceeded, "4096", id="context"),
        pytest.param({"user": "drill:refuse_429"}, Overloaded, "rate limit", id="429"),
        pytest.param({"user": "drill:refuse_503"}, TierUnavailable, "503", id="503"),
        pytest.param({"user": "drill:http_500"}, EngineFailure, "500", id="500"),
        pytest.param({"user": "drill:drop"}, TierUnavailable, "reached", id="drop"),
        pytest.param(
            {"timeout_s": 0.2, "user": "drill:stall"}, TierUnavailable, "in time", id="silent"
        ),
        pytest.param(
            {"timeout_s": 0.2, "user": "drill:slow_headers"}, TierUnavailable, "in time", id="slow"
        ),
        pytest.param({"local_only": True}, LocalOnlyConflict, "leave", id="local only"),
    ],
)
async def test_failure_before_the_first_byte_is_a_clean_error(
    serving: Serving, fields: dict[str, Any], kind: type[ServingError], text: str, stream: bool
) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url) as engine:
        items, error = await failed(engine, chat(stream=stream, **fields))
        assert (items, type(error)) == (0, kind)
        assert text in error.message
        assert pickle.loads(pickle.dumps(error)).retry_after_s == error.retry_after_s
        if isinstance(error, Overloaded):  # it asked to be left alone for a second
            assert (await failed(engine, chat()))[1].retry_after_s == 1
        elif "drill:stall" not in fields.values():
            assert (await answered(engine, chat()))[1].completion_tokens == 8


async def test_wrong_key_or_model_is_our_mistake_not_the_clients(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url, key="wrong") as engine:
        _, error = await failed(engine, chat())
        assert type(error) is TierUnavailable
        assert "BIG_KEY" not in error.message  # the client's affair it is not
        assert "BIG_KEY" in caplog.text
    other = PROVIDER.model_copy(update={"model": "other"})
    async with serving(other) as (_, url), upstream(url) as engine:
        _, error = await failed(engine, chat())
        assert type(error) is TierUnavailable
        assert "model" in error.message


@pytest.mark.parametrize("drill", ["cut", "malformed", "no_done"])
async def test_failure_after_the_first_byte_is_an_engine_failure(
    serving: Serving, drill: str
) -> None:
    async with serving(PROVIDER) as (_, url), upstream(url) as engine:
        items, error = await failed(engine, chat(user=f"drill:{drill}", max_tokens=40))
        assert type(error) is EngineFailure
        assert items >= 1


async def test_stalled_upstream_is_given_up_at_the_first_token_timeout(serving: Serving) -> None:
    async with (
        serving(PROVIDER) as (_, url),
        upstream(url, first_token_timeout_s=0.2) as engine,
    ):
        items, error = await failed(engine, chat(user="drill:stall"))
        assert (items, type(error)) == (0, TierUnavailable)


# -- a provider that obeys a script ---------------------------------------------------------------


async def test_request_carries_key_model_headers_and_the_wish_for_usage() -> None:
    async with scripted(sse(said("a"), DONE), headers={"x-org": "acme"}) as (engine, script):
        await answered(engine, chat(temperature=0.5, stream_options={"other": 1}))
        assert script.bodies[0] == chat(temperature=0.5).body | {
            "model": "big-1",
            "stream_options": {"other": 1, "include_usage": True},
        }
        head = script.heads[0].lower()
        for line in (
            b"post /v1/chat/completions",
            b"bearer right",
            b"x-org: acme",
            b"x-request-id: r1",
        ):
            assert line in head


async def test_local_only_request_never_touches_the_network() -> None:
    async with scripted(sse(said("a"), DONE)) as (engine, script):
        _, error = await failed(engine, chat(local_only=True))
        assert type(error) is LocalOnlyConflict
        assert len(script.talks) == 0


async def test_local_only_request_may_go_to_an_upstream_inside_the_cluster() -> None:
    async with scripted(sse(said("a"), DONE), in_cluster=True) as (engine, _):
        assert (await answered(engine, chat(local_only=True)))[0] == said("a")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param([], id="dropped"),
        pytest.param(refused(502), id="502"),
        pytest.param(refused(503), id="503"),
        pytest.param(refused(429, "retry-after: 0\r\n"), id="429"),
    ],
)
async def test_passing_failure_is_tried_again(first: list[Step]) -> None:
    async with scripted(first, first, sse(said("a"), DONE)) as (engine, script):
        raw, _ = await answered(engine, chat())
        assert raw == said("a")
        assert len(script.bodies) == 3


@pytest.mark.parametrize(
    ("answer", "settings", "tries"),
    [
        pytest.param(refused(503), {"max_retries": 2}, 3, id="no tries left"),
        pytest.param(refused(503), {"max_retries": 0}, 1, id="no retries wanted"),
        pytest.param(refused(500), {}, 1, id="500 is not passing"),
        pytest.param(refused(400), {}, 1, id="400 is not passing"),
        pytest.param(refused(429, "retry-after: 60\r\n"), {}, 1, id="asked to wait for too long"),
        pytest.param(
            refused(503, "retry-after: 1\r\n"), {"first_token_timeout_s": 0.5}, 1, id="deadline"
        ),
    ],
)
async def test_no_try_is_made_in_vain(
    answer: list[Step], settings: dict[str, Any], tries: int
) -> None:
    async with scripted(answer, **settings) as (engine, script):
        await failed(engine, chat())
        assert len(script.bodies) == tries


@pytest.mark.parametrize(
    ("asked", "told"), [("61.5", 62), ("1e9", 3600), ("Wed, 21 Oct 9999 07:28:00 GMT", 3600)]
)
async def test_upstreams_retry_after_reaches_the_client_as_it_is_heeded(
    asked: str, told: int
) -> None:
    async with scripted(refused(429, f"retry-after: {asked}\r\n")) as (engine, _):
        _, error = await failed(engine, chat())
        assert error.retry_after_s == told


async def test_answer_survives_any_framing() -> None:
    whole = b": hello\r\n\r\n" + (ROLE + said("é") + said("漢字")).replace(b"\n", b"\r\n")
    whole += b": ping\r\n\r\n" + DONE.replace(b"\n", b"\r\n")
    pieces = [whole[i : i + 1] for i in range(len(whole))]
    async with scripted(sse(*pieces)) as (engine, _):
        raw, _ = await answered(engine, chat())
        assert raw == ROLE + said("é") + said("漢字")


async def test_nothing_is_committed_by_a_role_without_a_token() -> None:
    async with scripted([OK, framed(ROLE), FOREVER], first_token_timeout_s=0.1) as (engine, _):
        items, error = await failed(engine, chat())
        assert (items, type(error)) == (0, TierUnavailable)


ENDED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(
    "end",
    [
        pytest.param([b"0\r\n\r\n"], id="closed"),
        pytest.param([HANG_UP], id="cut"),
        pytest.param([FOREVER], id="silent"),
    ],
)
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_answer_is_whole_with_its_last_finish_reason(
    monkeypatch: pytest.MonkeyPatch, end: list[Step], stream: bool
) -> None:
    monkeypatch.setattr(upstream_engine, "END_S", 0.05)
    steps: list[Step] = [OK, framed(said("a") + ENDED), *end]
    async with scripted(steps, read_timeout_s=60.0) as (engine, _):
        raw, usage = await answered(engine, chat(stream=stream))
        assert b'"a"' in raw
        assert usage.completion_tokens == 1


async def test_silence_after_a_token_ends_the_answer() -> None:
    async with scripted([OK, framed(said("a")), FOREVER], read_timeout_s=0.1) as (engine, _):
        items, error = await failed(engine, chat())
        assert (items, type(error)) == (1, EngineFailure)


async def test_deadline_ends_an_answer_that_still_flows() -> None:
    drip: list[Step] = [framed(said("a")), 0.02]
    drip = [OK, *drip * 500]
    async with scripted(drip) as (engine, _):
        items, error = await failed(engine, chat(timeout_s=1.0))
        assert type(error) is DeadlineExceeded
        assert items >= 1


async def test_error_event_ends_the_answer_and_its_text_stays_here() -> None:
    secret = b'data: {"error": {"message": "account acme-42 is out of money"}}\n\n'
    async with scripted(sse(said("a"), secret)) as (engine, _):
        _, error = await failed(engine, chat())
        assert type(error) is EngineFailure
        assert "acme" not in error.message


@pytest.mark.parametrize(
    "raw", [b"<html>", b"[]", b"{}", b'{"choices": 3}'], ids=["html", "list", "empty", "shape"]
)
async def test_document_of_another_shape_is_a_failure(raw: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
    async with scripted([head + raw]) as (engine, _):
        items, error = await failed(engine, chat(stream=False))
        assert (items, type(error)) == (0, EngineFailure)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_chunk_says_whether_its_tokens_were_counted(stream: bool) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":8}}\n\n'
    for told, estimated in (([], True), ([usage], False)):
        async with scripted(sse(ROLE, said("a b c"), *told, DONE)) as (engine, _):
            chunks = [chunk async for chunk in engine.generate(chat(stream=stream))]
        assert chunks[-1].estimated is estimated


async def test_usage_is_estimated_when_the_upstream_counts_nothing() -> None:
    async with scripted(sse(said("a"), said("b"), DONE)) as (engine, _):
        _, usage = await answered(engine, chat())
        assert usage.completion_tokens == 2
        assert usage.prompt_tokens > 0


async def test_finished_answer_leaves_its_connection_to_the_next() -> None:
    late: list[Step] = [OK, framed(said("a") + DONE), 0.02, b"0\r\n\r\n"]
    async with scripted(late) as (engine, script):
        for _ in range(3):
            await answered(engine, chat())
        assert len(script.talks) == 1


async def test_full_pool_is_an_overload() -> None:
    held: list[Step] = [OK, framed(said("a")), FOREVER]
    async with scripted(held, max_connections=1, connect_timeout_s=0.5) as (engine, _):
        first = engine.generate(chat())
        await anext(first)
        with pytest.raises(Overloaded):
            await anext(engine.generate(chat()))
        await first.aclose()


async def test_any_text_can_be_sent() -> None:
    async with scripted(sse(said("a"), DONE)) as (engine, script):
        message = {"role": "user", "content": "lone \ud800 and 漢字"}
        await answered(engine, chat(messages=[message]))
        assert script.bodies[0]["messages"] == [message]


# -- the breaker ----------------------------------------------------------------------------------


async def test_dead_upstream_answers_at_once_and_a_probe_brings_it_back() -> None:
    settings = {"max_retries": 0, "breaker_failures": 2, "breaker_open_s": 1.0}
    async with scripted([], [], sse(said("a"), DONE), **settings) as (engine, script):
        for _ in range(2):
            await failed(engine, chat())
        for _ in range(3):
            _, error = await failed(engine, chat())
            assert type(error) is TierUnavailable
            assert error.retry_after_s == 1
        assert len(script.bodies) == 2
        await asyncio.sleep(1.05)
        assert (await answered(engine, chat()))[0] == said("a")
        assert (await answered(engine, chat()))[0] == said("a")


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_every_silent_try_is_one_request_and_counts(stream: bool) -> None:
    async with scripted([FOREVER], breaker_failures=3, breaker_open_s=60.0) as (engine, script):
        for _ in range(5):
            _, error = await failed(engine, chat(stream=stream, timeout_s=0.2))
            assert type(error) is TierUnavailable
        assert len(script.bodies) <= 3
        assert error.message == "The upstream is down."


async def test_prompt_that_is_too_long_says_nothing_of_the_upstream() -> None:
    body = b'{"error": "input length exceeds the context length"}'
    head = f"HTTP/1.1 500 No\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    async with scripted([head + body], breaker_failures=1) as (engine, script):
        for _ in range(3):
            _, error = await failed(engine, chat())
            assert type(error) is ContextLengthExceeded
        assert len(script.bodies) == 3


async def test_refused_connections_open_the_breaker() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    async with upstream(f"http://127.0.0.1:{port}/v1", breaker_failures=3) as engine:
        _, first = await failed(engine, chat())
        _, second = await failed(engine, chat())
        assert "reached" in first.message
        assert "down" in second.message


async def test_clients_mistakes_do_not_open_the_breaker() -> None:
    async with scripted(refused(400), breaker_failures=1) as (engine, script):
        for _ in range(3):
            await failed(engine, chat())
        assert len(script.bodies) == 3


# -- configuration --------------------------------------------------------------------------------


def test_missing_key_is_told_by_the_name_of_its_variable() -> None:
    config = UpstreamConfig(base_url="http://x/v1", model="m", api_key_env="BIG_KEY")
    with pytest.raises(ConfigError, match="BIG_KEY"):
        UpstreamEngine(config, None, PrivacyConfig())


@pytest.mark.parametrize(
    "fields", [{"base_url": "ftp://x"}, {"model": ""}, {"surprise": 1}, {"max_retries": -1}]
)
def test_bad_configuration_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        UpstreamConfig(**({"base_url": "http://x/v1", "model": "m"} | fields))


async def test_request_before_the_start_is_turned_away() -> None:
    engine = UpstreamEngine(
        UpstreamConfig(base_url="http://x/v1", model="m"), None, PrivacyConfig()
    )
    with pytest.raises(TierUnavailable):
        await anext(engine.generate(chat()))


@pytest.mark.parametrize(
    "address",
    [
        "llm.example.com/v1",
        "ftp://llm.example.com/v1",
        "https://llm.example.com:abc/v1",
        "https://llm.example.com:/v1",
        "https://llm.example.com:0/v1",
        "https://llm.example.com:-1/v1",
        "https://llm.example.com:99999/v1",
        "http://127.0.0.256/v1",
        "http://10.0.1/v1",
        "https://llm.example.com/v1\n",
        "https://llm.example.com /v1",
        "https://llm.example.com\\v1",
        "https://[::1/v1",
        "https:///v1",
        "https://me:secret@llm.example.com/v1",
        "https://llm.example.com/v1?key=a",
    ],
)
def test_an_address_that_nothing_can_be_sent_to_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        UpstreamConfig(base_url=address, model="m")


@pytest.mark.parametrize(
    "address",
    ["http://[::1]:8000/v1", "http://127.0.0.1/v1", "https://LLM.example.com.:443/v1/", "http://a"],
)
def test_an_address_is_taken_as_it_is_written(address: str) -> None:
    assert UpstreamConfig(base_url=address, model="m").base_url == address.rstrip("/")
