"""No request is lost between the tiers before the first byte; after it, the end is clean."""

import asyncio
import json
from typing import Any

import pytest

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, Usage
from tests.api.conftest import Service, Serving

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])


def chat(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": "auto", "messages": messages, "max_tokens": 8, **fields}


async def where(service: Service, headers: Any = None, **fields: Any) -> tuple[int, str, str]:
    """Status, tier and cause of one chat."""
    async with service.http as http:
        answer = await http.post("/v1/chat/completions", json=chat(**fields), headers=headers)
    got = answer.headers
    return answer.status_code, got["x-smallfirst-tier"], got["x-smallfirst-cause"]


async def eventually(claim: Any) -> None:
    for _ in range(500):
        if claim():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def fault(name: str, **rule: Any) -> dict[str, Any]:
    return {"faults": [{"fault": name, **rule}]}


# score, settings -> tier, cause
DIRECTIONS: dict[str, tuple[float | None, dict[str, Any], tuple[str, str]]] = {
    "easy": (0.1, {}, ("small", "classifier")),
    "hard": (0.9, {}, ("large", "classifier")),
    "at the threshold": (0.7, {}, ("large", "classifier")),
    "no score": (None, {}, ("small", "classifier")),
    "small is full": (0.1, {"small": fault("refuse_429")}, ("large", "small_saturated")),
    "small refuses": (0.1, {"small": fault("refuse_503")}, ("large", "small_unavailable")),
    "large is full": (0.9, {"large": fault("refuse_429")}, ("small", "large_unavailable")),
    "large refuses": (0.9, {"large": fault("refuse_503")}, ("small", "large_unavailable")),
    "too long for small": (0.1, {"small": {"max_model_len": 4}}, ("large", "context_window")),
    "small cannot": (
        0.1,
        {"small_tier": {"capabilities": []}, "fields": {"logprobs": True}},
        ("large", "capability"),
    ),
}


@STREAM
@pytest.mark.parametrize(("score", "settings", "expected"), DIRECTIONS.values(), ids=DIRECTIONS)
async def test_a_request_is_answered_by_the_tier_that_can(
    serving: Serving, score: Any, settings: Any, expected: tuple[str, str], stream: bool
) -> None:
    settings = dict(settings)
    fields = settings.pop("fields", {})
    async with serving(score=score, **settings) as service:
        assert await where(service, stream=stream, **fields) == (200, *expected)
        assert len(service.records) == 1
        assert service.records[0].outcome == "ok"


@STREAM
async def test_an_empty_small_answer_goes_large(serving: Serving, stream: bool) -> None:
    async with serving() as service:

        async def says_nothing(_: Any) -> Any:
            opening = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
            end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
            whole = b'{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}'
            if stream:
                yield wire.encode(Chunk(opening, Usage(5, 0)))
            last = end if stream else whole
            yield wire.encode(Chunk(last, Usage(5, 1), finish_reason="stop", done=True))

        service.handles["small"].generate = says_nothing
        assert await where(service, stream=stream) == (200, "large", "answer_check")


async def test_a_replica_that_dies_before_its_first_word_costs_nothing(serving: Serving) -> None:
    async with serving() as service:

        async def dies(_: Any) -> Any:
            opening = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
            yield wire.encode(Chunk(opening, Usage(5, 0)))
            raise RuntimeError("gone")

        service.handles["small"].generate = dies
        assert await where(service, stream=True) == (200, "large", "small_unavailable")


@pytest.mark.parametrize(
    ("down", "score", "expected"),
    [
        ("small", 0.1, ("large", "small_unavailable")),
        ("large", 0.9, ("small", "large_unavailable")),
    ],
)
async def test_a_tier_known_to_be_down_is_not_even_asked(
    service: Service, down: Any, score: float, expected: tuple[str, str]
) -> None:
    service.scorer.complexity = score
    service.health.update({"small": 1, "large": 1, down: 0})
    assert await where(service) == (200, *expected)
    assert service.handles[down].requests == []


@pytest.mark.parametrize("model", ["small", "sim-small"])
async def test_a_named_model_that_fails_is_never_replaced(serving: Serving, model: str) -> None:
    async with serving(small=fault("refuse_503")) as service, service.http as http:
        answer = await http.post("/v1/chat/completions", json=chat(model=model))
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "tier_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert service.handles["large"].requests == []


async def test_where_both_tiers_fail_the_last_one_says_why(serving: Serving) -> None:
    both = {"small": fault("refuse_503"), "large": fault("refuse_429")}
    async with serving(**both) as service, service.http as http:
        answer = await http.post("/v1/chat/completions", json=chat())
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.headers["retry-after"] == "1"
    assert service.records[0].outcome == "overloaded"


async def test_a_prompt_beyond_both_contexts_is_the_clients_error(serving: Serving) -> None:
    tiny = {"max_model_len": 4}
    async with serving(small=tiny, large=tiny) as service, service.http as http:
        answer = await http.post("/v1/chat/completions", json=chat())
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


async def test_an_error_after_the_first_byte_is_an_event_and_no_done(serving: Serving) -> None:
    async with serving(small=fault("cut")) as service, service.http as http:
        answer = await http.post("/v1/chat/completions", json=chat(stream=True, max_tokens=80))
    events = answer.text.strip().split("\n\n")
    assert answer.status_code == 200
    assert len(events) > 2
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "engine_failure"
    assert "[DONE]" not in answer.text
    assert service.records[0].outcome == "engine_failure"
    assert service.handles["large"].requests == []


async def test_a_whole_stream_ends_with_done(service: Service) -> None:
    async with service.http as http:
        answer = await http.post("/v1/chat/completions", json=chat(stream=True))
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.text.count("[DONE]") == 1
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"


@STREAM
async def test_a_deadline_before_the_first_byte_is_504(serving: Serving, stream: bool) -> None:
    async with serving(small={"first_token_delay_s": 60}) as service, service.http as http:
        answer = await http.post(
            "/v1/chat/completions",
            json=chat(stream=stream),
            headers={"x-request-timeout-seconds": "0.1"},
        )
        assert answer.status_code == 504
        assert answer.json()["error"]["type"] == "timeout_error"
        assert await service.idle()
    assert service.records[0].outcome == "deadline_exceeded"


async def test_a_deadline_in_the_middle_ends_the_stream_with_its_error(serving: Serving) -> None:
    async with serving(small={"inter_token_delay_s": 0.05}) as service, service.http as http:
        answer = await http.post(
            "/v1/chat/completions",
            json=chat(stream=True, max_tokens=1000),
            headers={"x-request-timeout-seconds": "0.5"},
        )
        assert await service.idle()
    last = answer.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"


async def test_no_client_may_ask_for_more_than_the_configured_time(serving: Serving) -> None:
    settings: Any = {"gateway": {"max_request_s": 0.1}, "small": {"first_token_delay_s": 60}}
    async with serving(**settings) as service, service.http as http:
        headers = {"x-request-timeout-seconds": "1000"}
        answer = await http.post("/v1/chat/completions", json=chat(), headers=headers)
    assert answer.status_code == 504


@STREAM
@pytest.mark.parametrize("first_token_delay_s", [0.0, 60.0], ids=["answering", "waiting"])
async def test_a_client_that_leaves_stops_the_engine(
    serving: Serving, stream: bool, first_token_delay_s: float
) -> None:
    slow = {"first_token_delay_s": first_token_delay_s, "inter_token_delay_s": 0.05}
    async with serving(small=slow) as service:
        async with service.http as http:
            asking = asyncio.create_task(
                http.post("/v1/chat/completions", json=chat(stream=stream, max_tokens=10_000))
            )
            await eventually(
                lambda: service.tiers["small"].record_autoscaling_stats()["engine_running"]
            )
            await asyncio.sleep(0.15)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert await service.idle()
        await eventually(lambda: service.records)
        assert service.records[0].outcome == "cancelled"


async def test_a_large_tier_that_spends_its_budget_leaves_the_rest_to_small(
    serving: Serving,
) -> None:
    budget = {"max_rate": 0.1, "burst": 2}
    async with serving(score=0.9, escalation=budget) as service:
        causes = [(await where(service))[2] for _ in range(5)]
    assert causes == ["classifier"] * 2 + ["budget_exhausted"] * 3
