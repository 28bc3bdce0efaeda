"""What an upstream wrote is JSON to every client: no NaN, no halves of characters."""

import json
from typing import Any

import orjson
import pytest

from deployments.upstream.plain_json import PlainJson
from tests.scripted_upstream import DONE, OK, Step, answered, chat, scripted, sse

LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def piece(text: str, number: int = 0) -> bytes:
    """An event with this JSON text as what a choice says."""
    return b'data: {"choices":[{"index":%d,"delta":{"content":"%s"}}]}\n\n' % (
        *(number, text.encode()),
    )


def read(raw: bytes) -> list[dict[str, Any]]:
    """The events, or the document, as a strict reader has them."""
    return [orjson.loads(part.removeprefix(b"data: ")) for part in raw.split(b"\n\n") if part]


def test_what_is_plain_stays_as_it_came() -> None:
    raw = b'{"a" :  1.50, "b": "\xc3\xa9 \\u00e9"}'
    assert PlainJson().read(raw) == (json.loads(raw), raw)


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_numbers_that_json_has_not_are_replaced(stream: bool) -> None:
    said = (
        b'data: {"t":NaN,"u":Infinity,"choices":[{"index":0,"delta":{"content":"NaN"},"logprobs":'
        b'{"content":[{"token":"NaN","logprob":-Infinity,"bytes":null,"top_logprobs":[]}]}}]}\n\n'
    )
    async with scripted(sse(said, LAST, DONE)) as (engine, _):
        raw, _ = await answered(engine, chat(stream=stream))
    first = read(raw)[0]
    choice = first["choices"][0]
    assert (first.get("t"), first.get("u")) == (None, None)
    assert choice["logprobs"]["content"][0]["logprob"] == -9999.0
    assert choice.get("delta", choice.get("message"))["content"] == "NaN"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(["a\\ud83d", "\\ude00b"], "a😀b", id="cut"),
        pytest.param(["\\ud83d", "", "\\ude00"], "😀", id="cut, an empty event between"),
        pytest.param(["a\\ude00b"], "a\ufffdb", id="a second half alone"),
        pytest.param(["\\ud83d\\ude00"], "😀", id="whole"),
    ],
)
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_halves_of_a_character_are_joined(
    pieces: list[str], expected: str, stream: bool
) -> None:
    async with scripted(sse(*map(piece, pieces), LAST, DONE)) as (engine, _):
        raw, _ = await answered(engine, chat(stream=stream))
    choices = [choice for event in read(raw) for choice in event["choices"]]
    said = [choice.get("delta", choice.get("message")) for choice in choices]
    assert "".join(one.get("content", "") for one in said) == expected


def test_halves_are_kept_apart_by_choice() -> None:
    plain, said = PlainJson(), {0: "", 1: ""}
    cut = (("\\ud83d", 0), ("\\ud83c", 1), ("\\ude00", 0), ("\\udf0d", 1))
    for text, number in cut:
        value, _ = plain.read(piece(text, number).removeprefix(b"data: "))
        said[number] += value["choices"][0]["delta"]["content"]
    assert said == {0: "😀", 1: "🌍"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-le"])
async def test_a_document_in_another_encoding_is_passed_on_in_utf8(encoding: str) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "message": {"content": "é"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": usage}, ensure_ascii=False).encode(encoding)
    head = OK.replace(b"text/event-stream", b"application/json").replace(
        b"transfer-encoding: chunked", b"content-length: %d" % len(body)
    )
    answer: list[Step] = [head + body]
    async with scripted(answer) as (engine, _):
        raw, _ = await answered(engine, chat(stream=False))
    assert orjson.loads(raw) == {"choices": [choice], "usage": usage}
