"""An answer that says nothing is noticed, and a good one is held no longer than it must be."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from deployments.gateway.answer_check import first_content, is_empty_answer
from deployments.protocol.errors import EngineFailure
from deployments.protocol.openai_request import ParsedRequest, parse


def request(stream: bool, **fields: Any) -> ParsedRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return parse("chat", orjson.dumps({**body, "stream": stream}))


def delta(finish: str | None = None, **content: Any) -> bytes:
    event = {"choices": [{"index": 0, "delta": content, "finish_reason": finish}]}
    return b"data: " + orjson.dumps(event) + b"\n\n"


def whole(finish: str = "stop", **content: Any) -> bytes:
    message = {"role": "assistant", **content}
    return orjson.dumps({"choices": [{"message": message, "finish_reason": finish}]})


ROLE = delta(role="assistant", content="")
CALL = [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]


async def feed(items: list[bytes], seen: list[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        seen.append(item)
        yield item


@pytest.mark.parametrize(
    ("items", "held"),
    [
        ([delta(content="Hi"), delta(content=" you"), delta("stop")], 1),
        ([ROLE, delta(content="Hi"), delta("stop")], 2),
        ([ROLE, delta(tool_calls=CALL), delta("tool_calls")], 2),
        ([ROLE + delta(content="Hi"), delta("stop")], 1),
        ([ROLE, delta("stop")], 2),
        ([], 0),
    ],
)
async def test_a_stream_is_held_until_its_first_content(items: list[bytes], held: int) -> None:
    seen: list[bytes] = []
    assert await first_content(feed(items, seen), stream=True) == items[:held]
    assert len(seen) == held


async def test_a_document_is_one_item() -> None:
    assert await first_content(feed([whole(content="Hi"), b"more"], []), stream=False) == [
        whole(content="Hi")
    ]


# held items of a stream -> empty?
STREAMS = {
    "ended at once": ([ROLE, delta("stop")], True),
    "ended at once, in one item": ([ROLE + delta("stop")], True),
    "text": ([ROLE, delta(content="Hi")], False),
    "a tool call": ([ROLE, delta(tool_calls=CALL)], False),
    "refused": ([ROLE, delta(refusal="No.")], False),
    "thought": ([ROLE, delta(reasoning="Hm.")], False),
    "its token limit": ([ROLE, delta("length")], False),
    "not ended": ([ROLE], False),
    "nothing": ([], True),
}


@pytest.mark.parametrize(("held", "empty"), STREAMS.values(), ids=STREAMS)
def test_a_streamed_answer_is_empty(held: list[bytes], empty: bool) -> None:
    assert is_empty_answer(held, request(stream=True)) is empty


DOCUMENTS = {
    "no text": (whole(content=""), True),
    "null": (whole(content=None), True),
    "text": (whole(content="Hi"), False),
    "a tool call": (whole("tool_calls", content=None, tool_calls=CALL), False),
    "its token limit": (whole("length", content=""), False),
    "a completion": (orjson.dumps({"choices": [{"text": "Hi", "finish_reason": "stop"}]}), False),
    "an empty completion": (
        orjson.dumps({"choices": [{"text": "", "finish_reason": "stop"}]}),
        True,
    ),
    "one of two says something": (
        orjson.dumps({"choices": [
            {"message": {"content": ""}, "finish_reason": "stop"},
            {"message": {"content": "Hi"}, "finish_reason": "stop"},
        ]}),
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("document", "empty"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_empty(document: bytes, empty: bool) -> None:
    assert is_empty_answer([document], request(stream=False)) is empty


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_the_clients_stop_ended_is_its_own_doing(stream: bool) -> None:
    held = [ROLE, delta("stop")] if stream else [whole(content="")]
    assert not is_empty_answer(held, request(stream, stop=["Hi"]))


async def test_broken_json_before_the_first_content_is_the_engines_failure() -> None:
    with pytest.raises(EngineFailure):
        await first_content(feed([b'data: {"choices": [{\n\n'], []), stream=True)


def test_a_broken_document_is_the_engines_failure() -> None:
    with pytest.raises(EngineFailure):
        is_empty_answer([whole(content="Hi")[:20]], request(stream=False))
