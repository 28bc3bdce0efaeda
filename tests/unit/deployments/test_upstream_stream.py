"""An upstream's events are read whole, wherever its bytes are cut."""

import json
from typing import Any

import pytest

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.upstream.stream import UpstreamStream


def stream_of(*, include_usage: bool = False, **fields: Any) -> UpstreamStream:
    options = {"include_usage": True} if include_usage else None
    body = {"messages": [], "stream": True, "stream_options": options} | fields
    return UpstreamStream(EngineRequest("chat", body, "r1"))


def token(text: str) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def sent(*pieces: bytes, **fields: Any) -> bytes:
    """What a client gets of these bytes, to the end."""
    stream = stream_of(**fields)
    passed_on = b"".join(stream.feed(piece).data for piece in pieces)
    return passed_on + stream.end().data


def events(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(part.removeprefix(b"data: ")) for part in raw.split(b"\n\n") if part]


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def test_events_go_on_as_they_came() -> None:
    assert sent(ROLE + token("é"), DONE) == ROLE + token("é")


def test_answer_begins_with_its_first_token_not_with_the_role() -> None:
    stream = stream_of()
    assert not stream.feed(ROLE).content
    assert not stream.begun
    assert stream.feed(token("a")).content
    assert stream.begun


SAID = {
    "completion": {"index": 0, "text": "a"},
    "tool call": {"index": 0, "delta": {"tool_calls": [{"index": 0}]}},
    "reasoning_content": {"index": 0, "delta": {"reasoning_content": "hm"}},
    "reasoning": {"index": 0, "delta": {"reasoning": "hm"}},
    "refusal": {"index": 0, "delta": {"refusal": "I cannot"}},
    "a field of tomorrow": {"index": 0, "delta": {"thinking_blocks": [{"text": "hm"}]}},
}


@pytest.mark.parametrize("choice", SAID.values(), ids=SAID)
def test_answer_begins_with_anything_said(choice: dict[str, Any]) -> None:
    stream = stream_of()
    assert stream.feed(event(choices=[choice])).content
    assert stream.begun
    assert stream.meter.so_far().completion_tokens == 1


@pytest.mark.parametrize(
    "delta",
    [{"role": "assistant"}, {"role": "assistant", "content": None}, {"content": ""}, {}, None],
)
def test_nothing_said_is_no_token(delta: Any) -> None:
    stream = stream_of()
    assert not stream.feed(event(choices=[{"index": 0, "delta": delta}])).content
    assert not stream.begun
    assert stream.meter.so_far().completion_tokens == 0


def test_empty_answer_is_an_answer() -> None:
    stream = stream_of()
    last = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    piece = stream.feed(ROLE + last)
    assert (piece.data, piece.content, piece.finish_reason) == (ROLE + last, False, "stop")
    assert stream.begun


# -- usage ----------------------------------------------------------------------------------------


def counted(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion} | more


def test_usage_reaches_a_client_that_asked_once_and_last() -> None:
    rest = {"id": "x", "created": 7, "model": "m", "object": "chat.completion.chunk"}
    several = [
        event(**rest, choices=[{"index": 0, "delta": {"content": text}}], usage=counted(3, n))
        for n, text in enumerate("abc", start=1)
    ]
    got = events(sent(*several, event(**rest, choices=[], usage=counted(3, 4)), DONE))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in got] == ["a", "b", "c"]
    assert not any("usage" in chunk for chunk in got)
    got = events(sent(*several, DONE, include_usage=True))
    assert ["usage" in chunk for chunk in got] == [False, False, False, True]
    assert got[-1] == {**rest, "choices": [], "usage": counted(3, 3, total_tokens=6)}


def test_usage_on_the_last_token_is_the_answers() -> None:
    stream = stream_of()
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    stream.feed(token("a") + event(choices=[last], usage=counted(5, 6)) + DONE)
    stream.end()
    assert stream.meter.usage() == Usage(5, 6)


def test_details_of_the_usage_are_kept() -> None:
    usage = counted(3, 2, prompt_tokens_details={"cached_tokens": 1}, total_tokens=5)
    got = events(sent(token("a"), event(choices=[], usage=usage), DONE, include_usage=True))
    assert got[-1]["usage"] == usage


def test_a_null_usage_costs_no_second_writing() -> None:
    spaced = b'data: {"choices" : [{"index":0,"delta":{"content":"a"}}],  "usage": null}\n\n'
    assert sent(spaced, DONE) == spaced


@pytest.mark.parametrize(
    "wrong", [-1, True, False, "12", None, 2**53 + 1, 10**400, 1.5, [], {}], ids=repr
)
def test_what_is_no_count_is_estimated(wrong: Any) -> None:
    stream = stream_of(messages=[{"role": "user", "content": "x" * 400}])
    stream.feed(token("a") + token("b") + event(choices=[], usage=counted(wrong, wrong)) + DONE)
    stream.end()
    assert stream.meter.usage() == Usage(101, 2)


def test_count_that_is_whole_as_a_float_is_one() -> None:
    stream = stream_of()
    stream.feed(token("a") + event(choices=[], usage=counted(3.0, 4.0)))
    assert stream.meter.usage() == Usage(3, 4)


def test_count_without_its_other_half_is_kept() -> None:
    stream = stream_of()
    stream.feed(token("a") + event(choices=[], usage=counted(9, -1)) + DONE)
    assert stream.meter.usage() == Usage(9, 1)


def test_an_empty_usage_takes_back_no_count() -> None:
    stream = stream_of()
    stream.feed(token("a") + event(choices=[], usage=counted(9, 5)) + event(choices=[], usage={}))
    assert stream.meter.usage() == Usage(9, 5)


def test_tokens_so_far_are_those_that_came_where_the_count_is_behind() -> None:
    stream = stream_of()
    first = event(choices=[{"index": 0, "delta": {"content": "a"}}], usage=counted(9, 1))
    stream.feed(first + token("b") + token("c"))
    assert stream.meter.so_far() == Usage(9, 3)


def test_images_are_not_estimated_by_their_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    stream = stream_of(messages=[{"role": "user", "content": [image]}])
    assert stream.meter.so_far().prompt_tokens < 20


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"], ids=["bare", "one newline", "proper"])
def test_done_ends_the_stream_with_or_without_its_blank_line(ending: bytes) -> None:
    stream = stream_of()
    stream.feed(token("a") + b"data: [DONE]" + ending)
    stream.end()
    assert stream.done


def test_nothing_after_done_is_passed_on() -> None:
    assert sent(token("a") + DONE + token("b")) == token("a")


def last(number: int, reason: Any = "stop") -> bytes:
    return event(choices=[{"index": number, "delta": {}, "finish_reason": reason}])


@pytest.mark.parametrize(
    ("raw", "fields", "whole"),
    [
        pytest.param(token("a") + last(0), {}, True, id="finished"),
        pytest.param(token("a") + last(0, "length"), {}, True, id="cut by its limit"),
        pytest.param(token("a") + last(0)[:-2], {}, True, id="finished, no blank line"),
        pytest.param(token("a") + last(0) + USAGE, {}, True, id="usage last"),
        pytest.param(token("a") + last(0) + last(1), {"n": 2}, True, id="both finished"),
        pytest.param(token("a"), {}, False, id="no reason"),
        pytest.param(token("a") + last(0, None), {}, False, id="null"),
        pytest.param(token("a") + last(0, ""), {}, False, id="empty reason"),
        pytest.param(token("a") + USAGE, {}, False, id="usage alone"),
        pytest.param(token("a") + last(0), {"n": 2}, False, id="the other choice is missing"),
        pytest.param(token("a") + last(1), {"n": 2}, False, id="only the other has ended"),
        pytest.param(ROLE, {}, False, id="role alone"),
        pytest.param(b"", {}, False, id="nothing"),
    ],
)
def test_answer_without_done_is_whole_where_every_choice_has_its_reason(
    raw: bytes, fields: dict[str, Any], whole: bool
) -> None:
    if whole:
        assert sent(raw, **fields).startswith(token("a"))
        return
    with pytest.raises(EngineFailure):
        sent(raw, **fields)


def test_each_prompt_of_a_list_has_its_choices() -> None:
    body = {"prompt": ["a", "b"], "n": 2, "stream": True}
    stream = UpstreamStream(EngineRequest("completions", body, "r1"))
    for number in range(4):
        assert not stream.finished
        stream.feed(event(choices=[{"index": number, "text": "x", "finish_reason": "stop"}]))
    assert stream.finished
    ids = UpstreamStream(EngineRequest("completions", {"prompt": [1, 2], "stream": True}, "r1"))
    ids.feed(event(choices=[{"index": 0, "text": "x", "finish_reason": "stop"}]))
    assert ids.finished


# -- what is no answer ----------------------------------------------------------------------------


FILTER = event(choices=[], prompt_filter_results=[{"prompt_index": 0}])


def test_event_without_a_choice_is_skipped_and_begins_nothing() -> None:
    stream = stream_of()
    piece = stream.feed(FILTER + event(choices=None) + event(id="x"))
    assert (piece.data, stream.begun, stream.meter.token_events) == (b"", False, 0)
    assert sent(FILTER, token("a"), DONE) == token("a")


@pytest.mark.parametrize("raw", [DONE, FILTER + DONE, USAGE + DONE])
def test_stream_without_a_choice_is_no_answer(raw: bytes) -> None:
    with pytest.raises(EngineFailure):
        sent(raw, include_usage=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param({"message": "prompt is too long"}, ContextLengthExceeded, id="context"),
        pytest.param({"message": "slow down", "code": 429}, Overloaded, id="429"),
        pytest.param({"message": "no such thing", "code": 400}, InvalidRequest, id="400"),
        pytest.param({"message": "sk-secret", "code": 502}, TierUnavailable, id="502"),
        pytest.param({"message": "sk-secret"}, EngineFailure, id="no status"),
    ],
)
def test_error_in_place_of_an_answer_means_what_its_status_says(
    error: dict[str, Any], kind: type[ServingError]
) -> None:
    with pytest.raises(ServingError) as caught:
        sent(ROLE, event(error=error))
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


def test_error_after_a_token_is_a_failure_whatever_it_says() -> None:
    with pytest.raises(EngineFailure):
        sent(token("a"), event(error={"message": "prompt is too long", "code": 400}))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'data: {"choices": [\n\n', id="broken JSON"),
        pytest.param(b"data: 3\n\n", id="no object"),
        pytest.param(b'data: {"choices":[3]}\n\n', id="no choice"),
        pytest.param(b'data: {"choices":{"a":3}}\n\n', id="no list"),
        pytest.param(b"data: \xff\xfe\n\n", id="no UTF-8"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="depth"),
        pytest.param(b'data: {"error": {"message": "sk-secret"}}\n\n', id="error"),
        pytest.param(b'event: error\ndata: {"message": "sk-secret"}\n\n', id="named error"),
    ],
)
def test_broken_event_is_a_failure_that_quotes_nothing(raw: bytes) -> None:
    with pytest.raises(EngineFailure) as caught:
        stream_of().feed(raw)
    assert "secret" not in str(caught.value)


BEGUN = token("The answer is ")
ENDED = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
BARE = {
    "vllm": {"object": "error", "message": "CUDA OOM on node-7", "type": "X", "code": 500},
    "fastapi": {"detail": "boom on node-7"},
    "pydantic": {"detail": [{"loc": ["body"], "msg": "node-7", "type": "x"}]},
    "fastchat": {"text": "node-7", "error_code": 50004},
    "dashscope": {"code": "X", "message": "node-7"},
    "inside a choice": {
        "choices": [
            {
                "index": 0,
                "delta": {"content": ""},
                "finish_reason": "error",
                "error": {"code": 502, "message": "died on node-7"},
            }
        ]
    },
    "reason alone": {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]},
    "no resources": {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "insufficient_system_resource"}]
    },
    "network": {"choices": [{"index": 0, "delta": {}, "finish_reason": "network_error"}]},
    "aborted": {"choices": [{"index": 0, "delta": {}, "finish_reason": "abort"}]},
}


@pytest.mark.parametrize("failure", BARE.values(), ids=BARE)
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
@pytest.mark.parametrize("before", [b"", ROLE, BEGUN], ids=["first", "role", "later"])
def test_an_error_without_its_object_ends_no_answer(
    failure: dict[str, Any], stream: bool, before: bytes
) -> None:
    with pytest.raises(ServingError) as raised:
        sent(before, event(**failure), DONE, stream=stream)
    assert "node-7" not in str(raised.value)


def test_a_bare_complaint_says_what_it_says_in_an_object() -> None:
    too_long = "This model's maximum context length is 9 tokens. However, you requested 10 tokens."
    for bare in ({"object": "error", "message": too_long}, {"detail": too_long}):
        with pytest.raises(ContextLengthExceeded):
            stream_of().feed(event(**bare))


@pytest.mark.parametrize(
    "idle",
    [
        b"data:\n\n",
        b"data: \n\n",
        b"data\n\n",
        b"event: ping\ndata:\n\n",
        b"event: ping\ndata: 2026-01-01T00:00:00Z\n\n",
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b"event: heartbeat\ndata: 1\n\n",
        b": comment\n\n",
    ],
)
def test_what_keeps_a_connection_open_is_no_part_of_the_answer(idle: bytes) -> None:
    assert sent(idle, BEGUN, idle, ENDED, idle, DONE) == BEGUN + ENDED


@pytest.mark.parametrize(
    "last", [b"data: [DONE] \n\n", b"data: done\n\n", b"data: [DONE]", b"data: END\n\n", b""]
)
def test_a_whole_answer_may_end_in_any_word(last: bytes) -> None:
    assert sent(BEGUN, ENDED, last) == BEGUN + ENDED


def test_an_unreadable_event_within_an_answer_is_a_failure() -> None:
    with pytest.raises(EngineFailure, match="not JSON"):
        sent(BEGUN, b"data: done\n\n")


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
def test_a_role_alone_is_no_answer(stream: bool) -> None:
    with pytest.raises(EngineFailure, match="no answer"):
        sent(ROLE, DONE, stream=stream)


@pytest.mark.parametrize("reason", [{"type": "stop"}, ["stop"], 1, True])
def test_reason_of_another_type_ends_an_answer_too(reason: Any) -> None:
    stream = stream_of()
    stream.feed(token("a") + event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}]))
    assert stream.finished
