"""Server-sent events are read whole, wherever their bytes are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.protocol.errors import EngineFailure
from deployments.upstream.sse import MAX_EVENT_BYTES, Event, EventParser


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
