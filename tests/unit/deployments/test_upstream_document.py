"""Clients that want one JSON document get it from a stream, with all that a stream allows."""

import asyncio
import json
from typing import Any

import pytest

from deployments.protocol.chunk import Usage
from deployments.protocol.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.upstream import document as documents
from tests.scripted_upstream import (
    DONE,
    FOREVER,
    OK,
    ROLE,
    Step,
    answered,
    chat,
    events,
    failed,
    framed,
    said,
    scripted,
    sse,
)

ANSWER: dict[str, Any] = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "big-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
PLAIN: dict[str, Any] = {"dialect": {"json_by_stream": False}}
ENDED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def page(body: Any, kind: str = "application/json") -> list[Step]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(raw)}\r\n\r\n"
    return [head.encode() + raw]


async def test_document_is_asked_for_as_a_stream() -> None:
    async with scripted(sse(ROLE, said("Hel"), said("lo"), ENDED, DONE)) as (engine, script):
        raw, usage = await answered(engine, chat(stream=False))
        message = json.loads(raw)["choices"][0]["message"]
        assert message == {"role": "assistant", "content": "Hello"}
        assert (usage.completion_tokens, json.loads(raw)["usage"]["completion_tokens"]) == (2, 2)
        assert script.bodies[0]["stream"] is True
        assert script.bodies[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("kind", ["text/plain", "text/event-stream", "text/html", ""])
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_document_is_told_by_its_beginning_whatever_its_label(
    kind: str, stream: bool
) -> None:
    async with scripted(page(b"\n " + json.dumps(ANSWER).encode(), kind)) as (engine, _):
        raw, usage = await answered(engine, chat(stream=stream))
        assert usage == (3, 2)
        assert b"Hello" in raw


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf", b"\n\n", b": hi\n\n", b"event: x\n"])
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_events_are_told_by_their_beginning_whatever_their_label(
    begin: bytes, stream: bool
) -> None:
    head = OK.replace(b"text/event-stream", b"application/json")
    steps: list[Step] = [head, *map(framed, (begin, said("a"), ENDED, DONE)), b"0\r\n\r\n"]
    steps = [step for step in steps if step != framed(b"")]
    async with scripted(steps) as (engine, _):
        raw, usage = await answered(engine, chat(stream=stream))
        assert usage.completion_tokens == 1
        assert b'"content": "a"' in raw


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        pytest.param({}, PLAIN, id="dialect"),
        pytest.param({"best_of": 2}, {}, id="best_of"),
        pytest.param({"use_beam_search": True}, {"speaks": "vllm"}, id="beams"),
        pytest.param({"prompt_logprobs": 1}, {"speaks": "vllm"}, id="prompt_logprobs"),
    ],
)
async def test_what_cannot_be_streamed_is_asked_for_as_a_document(
    fields: dict[str, Any], settings: dict[str, Any]
) -> None:
    async with scripted(page(ANSWER), **settings) as (engine, script):
        raw, usage = await answered(engine, chat(stream=False, **fields))
        assert json.loads(raw) == ANSWER
        assert usage == Usage(3, 2)
        assert not script.bodies[0].get("stream")
        assert "stream_options" not in script.bodies[0]


async def test_silent_document_fails_while_another_tier_can_still_answer() -> None:
    async with scripted([OK, framed(ROLE), FOREVER]) as (engine, _):
        items, error = await failed(engine, chat(stream=False, timeout_s=0.3))
        assert (items, type(error)) == (0, TierUnavailable)


async def test_document_that_stops_in_the_middle_can_be_asked_of_another() -> None:
    async with scripted(sse(said("a"))) as (engine, _):
        items, error = await failed(engine, chat(stream=False))
        assert (items, type(error), error.retryable) == (0, EngineFailure, True)
    async with scripted([OK, framed(said("a")), FOREVER], read_timeout_s=0.1) as (engine, _):
        items, error = await failed(engine, chat(stream=False))
        assert (items, type(error)) == (0, EngineFailure)


async def test_plain_document_has_the_whole_deadline() -> None:
    async with scripted([OK, FOREVER], **PLAIN) as (engine, _):
        _, error = await failed(engine, chat(stream=False, timeout_s=0.2))
        assert type(error) is DeadlineExceeded


async def test_upstream_that_never_streams_serves_both() -> None:
    async with scripted(page(ANSWER)) as (engine, _):
        raw, usage = await answered(engine, chat(stream=False))
        assert (json.loads(raw), usage) == (ANSWER, Usage(3, 2))
        raw, usage = await answered(engine, chat(stream_options={"include_usage": True}))
        assert usage == Usage(3, 2)
        first, last = events(raw)
        assert first["object"] == "chat.completion.chunk"
        assert first["choices"][0]["delta"]["content"] == "Hello"
        assert first["choices"][0]["finish_reason"] == "stop"
        assert last["usage"] == ANSWER["usage"]


async def test_tool_calls_of_a_document_are_numbered_in_its_events() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, call]}
    answer = ANSWER | {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    async with scripted(page(answer)) as (engine, _):
        raw, _ = await answered(engine, chat())
        calls = events(raw)[0]["choices"][0]["delta"]["tool_calls"]
        assert [one["index"] for one in calls] == [0, 1]


NO_ANSWER = {
    "nothing said": ANSWER | {"choices": [{"index": 0, "message": {}}]},
    "a role alone": ANSWER | {"choices": [{"index": 0, "message": {"role": "assistant"}}]},
    "no text": ANSWER | {"choices": [{"index": 0, "text": ""}]},
    "given up": ANSWER
    | {"choices": [{"index": 0, "message": {"content": ""}, "finish_reason": "error"}]},
    "failed inside": ANSWER
    | {"choices": [{"index": 0, "message": {"content": "a"}, "error": {"message": "node-7"}}]},
    "bare error": {"object": "error", "message": "node-7", "code": 500},
    "detail": {"detail": "node-7"},
    "no choices": ANSWER | {"choices": []},
    "null": ANSWER | {"choices": None},
    "missing": {"id": "c-1"},
    "no object": ANSWER | {"choices": [None]},
    "no message": ANSWER | {"choices": [{"index": 0, "finish_reason": "stop"}]},
    "null message": ANSWER | {"choices": [{"index": 0, "message": None}]},
    "one of two": ANSWER | {"choices": [*ANSWER["choices"], {"index": 1}]},
    "list": [],
    "number": 3,
    "page": b"<html>",
}


@pytest.mark.parametrize("body", NO_ANSWER.values(), ids=NO_ANSWER)
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
@pytest.mark.parametrize("settings", [{}, PLAIN], ids=["by stream", "plain"])
async def test_document_without_an_answer_is_none(
    body: Any, stream: bool, settings: dict[str, Any]
) -> None:
    async with scripted(page(body), **settings) as (engine, _):
        items, error = await failed(engine, chat(stream=stream))
        assert (items, type(error), error.retryable) == (0, EngineFailure, True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "the prompt is too long"}, ContextLengthExceeded),
        ({"message": "slow down", "code": 429}, Overloaded),
        ({"message": "Provider returned error", "code": 502}, TierUnavailable),
        ("out of money", EngineFailure),
    ],
)
async def test_error_with_a_200_is_an_error(error: Any, kind: type[ServingError]) -> None:
    async with scripted(page({"error": error})) as (engine, _):
        for stream in (True, False):
            items, caught = await failed(engine, chat(stream=stream))
            assert (items, type(caught)) == (0, kind)
            assert "money" not in caught.message


async def test_usage_that_is_none_is_counted_here() -> None:
    wrong = ANSWER | {"usage": {"prompt_tokens": -1, "completion_tokens": True}}
    async with scripted(page(wrong), **PLAIN) as (engine, _):
        raw, usage = await answered(engine, chat(stream=False))
        told = json.loads(raw)["usage"]
        assert usage == Usage(told["prompt_tokens"], told["completion_tokens"])
        assert min(usage) >= 1
        assert told["total_tokens"] == sum(usage)


async def test_document_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_ANSWER_BYTES", 2**16)
    endless: list[Step] = [OK.replace(b"text/event-stream", b"application/json")]
    endless += [framed(b" " * 2**12)] * 2**10
    async with scripted(endless) as (engine, _):
        items, error = await failed(engine, chat(stream=False))
        assert (items, error.message) == (0, "The upstream's answer is too large.")


async def test_leaving_client_stops_a_document_upstream() -> None:
    async with scripted([OK, framed(said("a")), FOREVER]) as (engine, script):
        waiting = asyncio.create_task(answered(engine, chat(stream=False)))
        while not script.bodies:  # noqa: ASYNC110  # the script has a list and no event
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert engine.load().running == 0
        # `scripted` waits for its talks: this one ends because the connection was closed.


@pytest.mark.parametrize(
    "wrong",
    [{"total_tokens": None}, {"prompt_tokens": 3.0}, {"total_tokens": "5"}],
    ids=["null", "float", "text"],
)
async def test_usage_that_is_not_whole_is_made_so(wrong: dict[str, Any]) -> None:
    usage = {**ANSWER["usage"], **wrong, "prompt_tokens_details": {"cached_tokens": 1}}
    async with scripted(page(ANSWER | {"usage": usage})) as (engine, _):
        raw, booked = await answered(engine, chat(stream=False))
    told = json.loads(raw)["usage"]
    assert told == ANSWER["usage"] | {"prompt_tokens_details": {"cached_tokens": 1}}
    assert all(type(told[name]) is int for name in ANSWER["usage"])
    assert booked == Usage(3, 2)
