"""An upstream's events are read whole, wherever its bytes are cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.protocol.chunk import Usage
from deployments.protocol.errors import EngineFailure
from deployments.upstream.stream import MAX_EVENT_BYTES, Event, EventParser, UpstreamStream


def token(text: str) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=5),
    newline=st.sampled_from((b"\n", b"\r\n", b"\r")),
    noise=st.sampled_from((b"", b": keep-alive\n\n", b":\n", b"event: message\n", b"id: 7\n")),
    size=st.integers(1, 40),
    bom=st.booleans(),
)
def test_any_cut_and_any_line_end_gives_the_same_events(
    texts: list[str], newline: bytes, noise: bytes, size: int, bom: bool
) -> None:
    data = [json.dumps([text], ensure_ascii=False, indent=0).encode() for text in texts]
    lines = [b"".join(b"data: " + line + b"\n" for line in one.split(b"\n")) for one in data]
    raw = b"".join(noise + one + b"\n" for one in lines)
    raw = b"\xef\xbb\xbf" * bom + raw.replace(b"\n", newline)
    parser = EventParser()
    chunks = [raw[start : start + size] for start in range(0, len(raw), size)]
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    assert [event.data for event in found + parser.end()] == data


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        pytest.param(b"data: a\ndata: b\n\n", Event(b"", b"a\nb"), id="several data lines"),
        pytest.param(b"data:a\n\n", Event(b"", b"a"), id="no space"),
        pytest.param(b"data:  a\n\n", Event(b"", b" a"), id="only one space is dropped"),
        pytest.param(b"event: error\ndata: a\n\n", Event(b"error", b"a"), id="name"),
        pytest.param(b"data\n\n", Event(b"", b""), id="field without a colon"),
    ],
)
def test_fields_are_read_as_the_standard_says(raw: bytes, event: Event) -> None:
    assert EventParser().feed(raw) == [event]


@pytest.mark.parametrize("raw", [b": ping\n\n", b"id: 1\n\n", b"\n\n\n", b"retry: 10\n\n"])
def test_what_carries_no_data_is_no_event(raw: bytes) -> None:
    assert EventParser().feed(raw) == []


def test_event_without_an_end_is_given_up_at_its_limit() -> None:
    parser = EventParser()
    with pytest.raises(EngineFailure):
        for _ in range(MAX_EVENT_BYTES // 2**20 + 1):
            parser.feed(b"x" * 2**20)


def test_events_go_on_as_they_came() -> None:
    stream = UpstreamStream(include_usage=False)
    assert stream.feed(ROLE + token("é")) == ROLE + token("é")


def test_answer_begins_with_its_first_token_not_with_the_role() -> None:
    stream = UpstreamStream(include_usage=False)
    stream.feed(ROLE)
    assert not stream.begun
    stream.feed(token("a"))
    assert stream.begun


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "text": "a"},
        {"index": 0, "delta": {"tool_calls": [{"index": 0}]}},
        {"index": 0, "delta": {"reasoning_content": "hm"}},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ],
    ids=["completion", "tool call", "reasoning", "empty answer"],
)
def test_answer_begins_with_anything_said(choice: dict[str, Any]) -> None:
    stream = UpstreamStream(include_usage=False)
    stream.feed(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
    assert stream.begun


@pytest.mark.parametrize("asked", [True, False])
def test_usage_is_kept_and_passed_on_only_if_asked(asked: bool) -> None:
    stream = UpstreamStream(include_usage=asked)
    assert stream.feed(token("a") + USAGE + DONE) == token("a") + (USAGE if asked else b"")
    assert stream.usage == Usage(3, 2)


def test_usage_beside_a_token_is_kept_and_the_token_passed_on() -> None:
    usage = b'"usage":{"prompt_tokens":1,"completion_tokens":1}'
    both = b'data: {"choices":[{"index":0,"text":"a"}],' + usage + b"}\n\n"
    stream = UpstreamStream(include_usage=False)
    assert stream.feed(both) == both
    assert stream.usage == Usage(1, 1)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"], ids=["bare", "one newline", "proper"])
def test_done_ends_the_stream_with_or_without_its_blank_line(ending: bytes) -> None:
    stream = UpstreamStream(include_usage=False)
    stream.feed(token("a") + b"data: [DONE]" + ending)
    stream.end()
    assert stream.done


def test_nothing_after_done_is_passed_on() -> None:
    assert UpstreamStream(include_usage=False).feed(DONE + token("a")) == b""


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'data: {"choices": [\n\n', id="broken JSON"),
        pytest.param(b"data: 3\n\n", id="no object"),
        pytest.param(b'data: {"choices":[3]}\n\n', id="no choice"),
        pytest.param(b"data: \xff\xfe\n\n", id="no UTF-8"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="depth"),
        pytest.param(b'data: {"error": {"message": "sk-secret"}}\n\n', id="error"),
        pytest.param(b'event: error\ndata: {"message": "sk-secret"}\n\n', id="named error"),
    ],
)
def test_broken_event_is_a_failure_that_quotes_nothing(raw: bytes) -> None:
    with pytest.raises(EngineFailure) as caught:
        UpstreamStream(include_usage=False).feed(raw)
    assert "secret" not in str(caught.value)


def test_end_without_done_is_a_failure() -> None:
    stream = UpstreamStream(include_usage=False)
    stream.feed(token("a"))
    with pytest.raises(EngineFailure):
        stream.end()
