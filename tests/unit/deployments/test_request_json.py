"""A body is bounded before anything that recurses or allocates sees it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import parse
from deployments.protocol.request_json import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_ITEMS,
    load_object,
    too_deep,
)

USER = {"role": "user", "content": "Hello"}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_the_deepest_body_that_is_let_in() -> None:
    assert load_object(json.dumps(nested(MAX_DEPTH)).encode()) == nested(MAX_DEPTH)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_DEPTH} levels"):
        load_object(json.dumps(nested(MAX_DEPTH + 1)).encode())


# where a client may put JSON of its own
PLACES: dict[str, Any] = {
    "a tool's schema": lambda deep: {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]
    },
    "a response's schema": lambda deep: {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": deep}}
    },
    "template arguments": lambda deep: {"chat_template_kwargs": deep},
    "metadata": lambda deep: {"metadata": {"a": deep}},
    "a message": lambda deep: {"messages": [{"role": "user", "content": [deep]}]},
    "an unknown field": lambda deep: {"wibble": deep},
    "a constraint": lambda deep: {"structured_outputs": {"json": deep}},
}


@pytest.mark.parametrize("levels", [100, 990])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_deep_json_is_refused_wherever_it_stands(place: Any, levels: int) -> None:
    # Written by hand: the encoders have limits of their own.
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    raw = orjson.dumps({"model": "auto", "messages": [USER], **place("HERE")})
    with pytest.raises(InvalidRequest, match="nested more than 64 levels deep"):
        parse("chat", raw.replace(b'"HERE"', deep))


@pytest.mark.parametrize("deep", ["[" * 70 + "]" * 70, '{"a":' * 990 + "1" + "}" * 990])
def test_deep_json_in_a_string_that_an_engine_will_parse_is_refused(deep: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": deep}}
    turns = [USER, {"role": "assistant", "tool_calls": [call]}]
    with pytest.raises(InvalidRequest) as caught:
        parse("chat", orjson.dumps({"model": "auto", "messages": turns}))
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"
    fields = {"structured_outputs": {"json": deep}}
    with pytest.raises(InvalidRequest, match="nested"):
        parse("chat", orjson.dumps({"model": "auto", "messages": [USER], **fields}))


@pytest.mark.parametrize("text", ["[" * 5000, '{"a": [' * 2000, '\\"[' * 3000, "\\[\\\\" * 900])
def test_brackets_in_text_are_only_text(text: str) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    assert parse("chat", json.dumps(body).encode()).body["messages"][0]["content"] == text


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (b"{}," * MAX_CONTAINERS + b"{}", "objects, arrays or keys"),
        (b'{"a":1,"a":2},' * (MAX_CONTAINERS // 2) + b"1", "objects, arrays or keys"),
        (b"1," * (MAX_ITEMS + 1) + b"1", "items"),
        (b'"",' * (MAX_ITEMS + 1) + b"1", "items"),
    ],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    inside: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(_: bytes) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("deployments.protocol.request_json.orjson.loads", parsed)
    with pytest.raises(InvalidRequest, match=words):
        load_object(b'{"model":"auto","prompt":[' + inside + b"]}")


def test_a_long_conversation_and_a_long_text_are_let_in() -> None:
    messages = [USER] * 16_384
    assert len(load_object(orjson.dumps({"messages": messages}))["messages"]) == len(messages)
    prompt = list(range(2**20))
    assert load_object(orjson.dumps({"prompt": prompt}))["prompt"] == prompt
    text = 'a, b: {c} ["d"] \\ ' * 200_000
    assert load_object(orjson.dumps({"prompt": text}))["prompt"] == text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "01", "+1"])
def test_a_number_that_json_does_not_have_is_refused(number: str) -> None:
    raw = f'{{"model": "auto", "messages": [], "chat_template_kwargs": {{"a": {number}}}}}'
    with pytest.raises(InvalidRequest, match=r"^The body is not valid JSON"):
        parse("chat", raw.encode())


@pytest.mark.parametrize("field", ["n", "seed", "max_tokens", "top_k", "temperature"])
def test_a_huge_number_is_a_mistake_of_its_field(field: str) -> None:
    raw = b'{"model":"auto","messages":[{"role":"user","content":"x"}],"%s":%s}'
    with pytest.raises(InvalidRequest) as caught:
        parse("chat", raw % (field.encode(), b"9" * 400 if field != "temperature" else b"9" * 30))
    assert caught.value.param in (field, None)


def test_of_a_key_given_twice_the_last_is_checked_and_passed_on() -> None:
    raw = b'{"model":"a","model":"b","n":999,"n":2,"messages":[{"role":"user","content":"x"}]}'
    parsed = parse("chat", raw)
    assert (parsed.model, parsed.body["n"]) == ("b", 2)
    with pytest.raises(InvalidRequest):
        parse("chat", raw.replace(b'"n":2', b'"n":999'))


def depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0)


words = st.text('[]{}:,"\\ab\n', max_size=6)
values = st.recursive(
    words | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(values, st.integers(0, 70))
def test_depth_is_counted_as_a_walk_counts_it(value: Any, more: int) -> None:
    for number in range(more):
        value = [value, "]" * 70] if number % 2 else {"[": value}
    assert too_deep(json.dumps([value, *["[]" for _ in range(70)]])) is (depth(value) >= MAX_DEPTH)
