"""The wire: what goes in comes out, also between two releases."""

import pickle
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    ReplicaUnavailable,
    ServingError,
    all_errors,
)

TOKENS = st.integers(0, 2**53)
LOGPROBS = st.lists(st.floats(-100, 0, width=32), max_size=50).map(tuple)
CHUNKS = st.builds(
    Chunk,
    st.binary(),
    st.builds(Usage, TOKENS, TOKENS),
    st.booleans(),
    st.none() | st.sampled_from(["stop", "length", "tool_calls"]),
    LOGPROBS,
    st.text(max_size=300).filter(lambda name: name.isprintable()),
    st.booleans(),
    st.binary(min_size=8, max_size=8).map(bytes.hex) | st.just(""),
    st.booleans(),
)


@pytest.mark.parametrize("reason", ["x" * 300, "\ud800", "\u505c" * 200])
def test_an_upstreams_own_reason_breaks_no_frame(reason: str) -> None:
    chunk = Chunk(b"a", Usage(1, 1), True, reason, model="m", done=True)
    found = wire.decode(wire.encode(chunk))
    assert found._replace(finish_reason=reason) == chunk
    assert found.finish_reason


@given(CHUNKS)
def test_a_chunk_comes_out_as_it_went_in(chunk: Chunk) -> None:
    assert wire.decode(wire.encode(chunk)) == chunk


@given(CHUNKS, st.binary(max_size=40))
def test_what_a_later_release_adds_is_passed_over(chunk: Chunk, added: bytes) -> None:
    frame = wire.encode(chunk)
    before = len(frame) - len(chunk.data)
    (size,) = struct.unpack_from("<H", frame, 2)
    assert size == before
    later = frame[:2] + struct.pack("<H", size + len(added)) + frame[4:before] + added + chunk.data
    assert wire.decode(later) == chunk


@pytest.mark.parametrize("frame", [b"", b"data: {}\n\n", bytes([wire.VERSION + 1]) + bytes(40)])
def test_another_version_is_refused_for_another_replica(frame: bytes) -> None:
    with pytest.raises(ReplicaUnavailable, match="another release"):
        wire.decode(frame)


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.__name__)
def test_an_error_is_raised_again_where_it_is_read(cls: type[ServingError]) -> None:
    error = cls("what went wrong \ud800", "messages")
    error.retry_after_s = 7
    with pytest.raises(ServingError) as caught:
        wire.decode(wire.encode_error(error))
    assert type(caught.value) is cls
    assert (caught.value.message, caught.value.param) == ("what went wrong ?", "messages")
    assert caught.value.retry_after_s == 7


def test_an_error_that_only_a_later_release_has_is_a_failure() -> None:
    frame = wire.encode_error(ContextLengthExceeded("m"))
    with pytest.raises(EngineFailure):
        wire.decode(frame.replace(b"ContextLengthExceeded", b"ErrorOfTomorrow"))


REQUEST = EngineRequest("chat", {"messages": []}, "r", local_only=True, timeout_s=2, adapter="a")


def test_a_request_travels_as_plain_objects() -> None:
    asked = wire.encode_request(REQUEST)
    assert b"deployments" not in pickle.dumps(asked)
    assert wire.decode_request({**asked, "a field of tomorrow": 1}) == REQUEST


@pytest.mark.parametrize("asked", [{"version": wire.VERSION + 1}, {}, REQUEST])
def test_a_request_of_another_version_is_refused(asked: Any) -> None:
    with pytest.raises(ReplicaUnavailable, match="another release"):
        wire.decode_request(asked)


def test_a_request_is_not_printed_with_its_text() -> None:
    secret = EngineRequest("chat", {"messages": [{"content": "my secret"}]}, "r")
    assert "secret" not in repr(secret)
