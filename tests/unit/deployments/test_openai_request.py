"""A request is checked before it costs anything; mistakes are named, unknown fields dropped."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.protocol.anthropic_request import parse_count, parse_messages
from deployments.protocol.apis import parse_call
from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import parse
from deployments.protocol.responses_request import parse_responses

USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(**fields: Any) -> bytes:
    return orjson.dumps({"model": "auto", "messages": [USER], **fields})


def completion(**fields: Any) -> bytes:
    return orjson.dumps({"model": "auto", "prompt": "Hello", **fields})


NOT_A_REQUEST = {
    "nothing": b"",
    "no JSON": b"{model: auto}",
    "cut off": b'{"model": "auto", "messages": [',
    "invalid UTF-8": b'{"model": "auto", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "half a surrogate": b'{"model": "auto", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "a list": b"[]",
    "a word": b'"auto"',
    "null": b"null",
    "not a number": b'{"model": "auto", "messages": [], "temperature": NaN}',
    "very deep": b"[" * 100_000,
    "two documents": b"{}{}",
}


@pytest.mark.parametrize("raw", NOT_A_REQUEST.values(), ids=NOT_A_REQUEST)
@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_body_that_is_no_json_object_is_refused(endpoint: Endpoint, raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^The body "):
        parse(endpoint, raw)


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{**USER, **fields}]}


# fields of a chat body -> the parameter that is named
CHAT_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "null messages": ({"messages": None}, "messages"),
    "messages a word": ({"messages": "Hello"}, "messages"),
    "a message that is a word": ({"messages": ["Hello"]}, "messages[0]"),
    "no role": ({"messages": [USER, {"content": "Hi"}]}, "messages[1].role"),
    "an unknown role": (message(role="robot"), "messages[0].role"),
    "content a number": (message(content=5), "messages[0].content"),
    "content an object": (message(content={"text": "Hi"}), "messages[0].content"),
    "an unknown part": (message(content=[{"type": "smell"}]), "messages[0].content[0]"),
    "a part without type": (message(content=[{"text": "Hi"}]), "messages[0].content[0]"),
    "model a number": ({"model": 5}, "model"),
    "stream a word": ({"stream": "yes"}, "stream"),
    "stream options without stream": (
        {"stream_options": {"include_usage": True}},
        "stream_options",
    ),
    "stream options of nulls without stream": (
        {"stream_options": {"include_usage": None}},
        "stream_options",
    ),
    "usage a word": (
        {"stream": True, "stream_options": {"include_usage": "yes"}},
        "stream_options.include_usage",
    ),
    "temperature below 0": ({"temperature": -0.01}, "temperature"),
    "temperature above 2": ({"temperature": 2.01}, "temperature"),
    "temperature a word": ({"temperature": "hot"}, "temperature"),
    "temperature a flag": ({"temperature": True}, "temperature"),
    "top_p below 0": ({"top_p": -0.01}, "top_p"),
    "top_p above 1": ({"top_p": 1.01}, "top_p"),
    "n 0": ({"n": 0}, "n"),
    "n 129": ({"n": 129}, "n"),
    "n a fraction": ({"n": 1.5}, "n"),
    "max_tokens 0": ({"max_tokens": 0}, "max_tokens"),
    "max_tokens below 0": ({"max_tokens": -1}, "max_tokens"),
    "max_tokens a word": ({"max_tokens": "many"}, "max_tokens"),
    "max_completion_tokens 0": ({"max_completion_tokens": 0}, "max_completion_tokens"),
    "5 stops": ({"stop": ["x"] * 5}, "stop"),
    "an empty stop": ({"stop": ""}, "stop"),
    "an empty stop among others": ({"stop": ["x", ""]}, "stop[1]"),
    "null among stops": ({"stop": ["x", None]}, "stop[1]"),
    "stop a number": ({"stop": 5}, "stop"),
    "a stop that is a number": ({"stop": ["a", 5]}, "stop[1]"),
    "seed a word": ({"seed": "x"}, "seed"),
    "seed beyond 64 bits": ({"seed": 2**63}, "seed"),
    "presence too high": ({"presence_penalty": 2.1}, "presence_penalty"),
    "frequency too low": ({"frequency_penalty": -2.1}, "frequency_penalty"),
    "bias a list": ({"logit_bias": []}, "logit_bias"),
    "21 top logprobs": ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    "top logprobs alone": ({"top_logprobs": 2}, "top_logprobs"),
    "logprobs a number": ({"logprobs": 5}, "logprobs"),
    "no tools": ({"tools": []}, "tools"),
    "a choice of none at all": ({"tool_choice": "auto"}, "tool_choice"),
    "tools an object": ({"tools": TOOL}, "tools"),
    "a tool without function": ({"tools": [{"type": "function"}]}, "tools[0].function"),
    "a tool without name": (
        {"tools": [{"type": "function", "function": {}}]},
        "tools[0].function.name",
    ),
    "a choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "an unknown choice": ({"tools": [TOOL], "tool_choice": "perhaps"}, "tool_choice"),
    "a choice of another type": (
        {"tools": [TOOL], "tool_choice": {"type": "custom"}},
        "tool_choice.type",
    ),
    "a choice that is no tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        "tool_choice",
    ),
    "an unknown format": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "a schema format without schema": (
        {"response_format": {"type": "json_schema"}},
        "response_format",
    ),
    "a schema without name": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
}


@pytest.mark.parametrize(("fields", "param"), CHAT_MISTAKES.values(), ids=CHAT_MISTAKES)
def test_a_mistake_in_a_chat_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("chat", chat(**fields))
    named = caught.value.param or ""
    # A union's mistake may be told for one of its branches.
    assert named == param or named.startswith((f"{param}.", f"{param}["))
    assert "\n" not in caught.value.message


COMPLETION_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no text": ({"prompt": []}, "prompt"),
    "prompt null": ({"prompt": None}, "prompt"),
    "prompt a number": ({"prompt": 5}, "prompt"),
    "text and tokens": ({"prompt": ["Hi", 5]}, "prompt"),
    "logprobs a flag": ({"logprobs": True}, "logprobs"),
    "max_tokens 0": ({"max_tokens": 0}, "max_tokens"),
    "best_of 0": ({"best_of": 0}, "best_of"),
}


@pytest.mark.parametrize(("fields", "param"), COMPLETION_MISTAKES.values(), ids=COMPLETION_MISTAKES)
def test_a_mistake_in_a_completion_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("completions", completion(**fields))
    assert (caught.value.param or "").startswith(param)


def test_a_missing_parameter_is_asked_for_in_openais_words() -> None:
    with pytest.raises(InvalidRequest, match=r"^You must provide the parameter 'messages'\.$"):
        parse("chat", orjson.dumps({"model": "auto"}))


@pytest.mark.parametrize(
    "fields", [{"stream": True, "stream_options": {"include_usage": None}}, {"stream_options": {}}]
)
def test_stream_options_that_ask_for_nothing_are_left_out(fields: dict[str, Any]) -> None:
    assert "stream_options" not in parse("chat", chat(**fields)).body


@pytest.mark.parametrize("named", [{}, {"model": None}])
def test_who_names_no_model_leaves_the_choice_to_us(named: dict[str, Any]) -> None:
    assert parse("chat", orjson.dumps({**named, "messages": [USER]})).model == "auto"
    assert parse("completions", orjson.dumps({**named, "prompt": "Hi"})).model == "auto"
    assert parse_responses(orjson.dumps({**named, "input": "Hi"}))[0].model == "auto"
    message = {**named, "messages": [USER], "max_tokens": 3}
    assert parse_messages(orjson.dumps(message))[0].model == "auto"
    assert parse_count(orjson.dumps(message)).model == "auto"


def test_a_mistake_never_repeats_the_prompt() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("chat", chat(messages=[{"role": "user", "content": {"secret": "ACME-4711"}}]))
    assert "4711" not in json.dumps(caught.value.envelope())


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"temperature": 2},
        {"top_p": 1},
        {"top_p": 0},
        {"temperature": 0, "n": 4},
        {"n": 1},
        {"n": 128},
        {"max_tokens": 1},
        {"max_completion_tokens": 1},
        {"seed": -(2**63)},
        {"stop": ["x"] * 4},
        {"stop": "x"},
        {"presence_penalty": -2, "frequency_penalty": 2},
        {"logprobs": True, "top_logprobs": 20},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look_up"}}},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"messages": [USER] * 10_000},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}]},
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        ]}, {"role": "tool", "tool_call_id": "1", "content": "42"}]},
    ],
    ids=lambda fields: ",".join(fields),
)  # fmt: skip
def test_what_openai_allows_is_passed_on_unchanged(fields: dict[str, Any]) -> None:
    body = parse("chat", chat(**fields)).body
    assert {key: body[key] for key in fields} == fields


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
@pytest.mark.parametrize("more", [{}, {"json_schema": None}])
def test_a_schema_beside_its_type_is_none_that_is_lost(kind: str, more: dict[str, Any]) -> None:
    schema = {"type": "object", "required": ["city"]}
    wanted = {"type": kind, "schema": schema, **more}
    named = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert parse("chat", chat(response_format=wanted)).body["response_format"] == named
    said, _ = parse_responses(
        orjson.dumps({"input": "Hi", "text": {"format": {**wanted, "name": "answer"}}})
    )
    assert said.body["response_format"] == named


@pytest.mark.parametrize("prompt", ["Hi", ["Hi", "you"], [1, 2], [[1], [2, 3]]])
def test_a_completion_takes_text_and_tokens(prompt: Any) -> None:
    assert parse("completions", completion(prompt=prompt)).body["prompt"] == prompt


def test_unknown_fields_are_dropped_and_named_and_openais_own_are_not_passed_on() -> None:
    parsed = parse("chat", chat(wibble=1, store=True, metadata={"a": "b"}, service_tier="auto"))
    assert parsed.body == {"messages": [USER]}
    assert parsed.ignored == ("wibble", "store", "metadata", "service_tier")
    assert parsed.model == "auto"


# fields -> what the model must be able to do
NEEDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, set()),
    "tools": ({"tools": [TOOL]}, {"tools"}),
    "tools it must not use": ({"tools": [TOOL], "tool_choice": "none"}, set()),
    "a schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        {"json_schema"},
    ),
    "any JSON": ({"response_format": {"type": "json_object"}}, {"json_schema"}),
    "text": ({"response_format": {"type": "text"}}, set()),
    "logprobs": ({"logprobs": True}, {"logprobs"}),
    "no logprobs": ({"logprobs": False}, set()),
    "an image": (message(content=[{"type": "text", "text": "What?"}, IMAGE]), {"vision"}),
    "an image earlier": ({"messages": [{"role": "user", "content": [IMAGE]}, USER]}, {"vision"}),
}


@pytest.mark.parametrize(("fields", "needs"), NEEDS.values(), ids=NEEDS)
def test_a_chat_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert set(parse("chat", chat(**fields)).needs) == needs


@pytest.mark.parametrize(
    ("fields", "needs"),
    [({}, set()), ({"logprobs": 0}, {"logprobs"}), ({"logprobs": 6}, {"logprobs", "vllm"})],
)
def test_a_completion_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert set(parse("completions", completion(**fields)).needs) == needs


@pytest.mark.parametrize(
    ("prompt", "scored"), [("Hi", "Hi"), (["Hi", "you"], "Hi\nyou"), ([1, 2], ""), ([[1]], "")]
)
def test_the_classifier_sees_the_text_of_a_prompt(prompt: Any, scored: str) -> None:
    assert parse("completions", completion(prompt=prompt)).conversation == scored


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text("ab ", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab ", max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)
FIELDS = ["model", "messages", "prompt", "stream", "stream_options", "n", "stop", "tools", "seed"]
FIELDS += ["tool_choice", "response_format", "logprobs", "top_logprobs", "max_tokens", "logit_bias"]


@given(st.sampled_from(["chat", "completions"]), st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(endpoint: Endpoint, raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(endpoint, raw)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    st.sampled_from(["chat", "completions"]), st.dictionaries(st.sampled_from(FIELDS), json_values)
)
def test_any_json_object_is_parsed_or_refused(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    try:
        parse(endpoint, orjson.dumps({"model": "auto", "prompt": "", "messages": [USER], **fields}))
    except InvalidRequest as error:
        orjson.dumps(error.envelope())


def test_of_token_ids_none_is_looked_at_to_find_what_the_classifier_sees() -> None:
    class Counted(list[int]):
        looks = 0

        def __iter__(self) -> Iterator[int]:
            Counted.looks += 1
            return super().__iter__()

    asked = parse("completions", b'{"model": "auto", "prompt": [1, 2, 3]}')
    asked.body["prompt"] = Counted(asked.body["prompt"])
    assert asked.conversation == "" and Counted.looks == 0


@pytest.mark.parametrize(
    "raw",
    [
        lambda: parse("chat", chat(parallel_tool_calls=False)),
        lambda: parse("chat", chat(parallel_tool_calls=True, tool_choice="none")),
        lambda: parse_responses(orjson.dumps({"input": "Hi", "parallel_tool_calls": True}))[0],
        lambda: parse_responses(
            orjson.dumps({"input": "Hi", "tools": [], "parallel_tool_calls": False})
        )[0],
        lambda: parse_messages(
            orjson.dumps({"max_tokens": 5, "messages": [USER],
                          "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}})
        )[0],
    ],
)  # fmt: skip
def test_without_tools_nothing_is_said_of_calling_them(raw: Any) -> None:
    # OpenAI answers 400 to either.
    assert raw().body.keys().isdisjoint({"parallel_tool_calls", "tool_choice"})


NULLS = {"description": None, "strict": None}


def test_nulls_of_optional_fields_are_absent_wherever_they_stand() -> None:
    tool = {"type": "function", "function": {**TOOL["function"], **NULLS}, "cache_control": None}  # type: ignore[dict-item]
    schema = {"name": "a", "schema": {"type": "object", "default": None}}
    wanted = {"type": "json_schema", "json_schema": {**schema, **NULLS}}
    parsed = parse("chat", chat(tools=[tool], response_format=wanted))
    assert parsed.body["tools"] == [TOOL]
    # A null inside a schema is the schema's.
    assert parsed.body["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert parse("chat", chat(response_format={"type": "text", "json_schema": None})).body[
        "response_format"
    ] == {"type": "text"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": None}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": None}]}, "tools[0].function"),
        ({"tools": [None]}, "tools[0]"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": None}}},
         "response_format.json_schema.name"),
        ({"response_format": {"type": None}}, "response_format.type"),
    ],
)  # fmt: skip
def test_a_null_for_what_is_needed_is_missing(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("chat", chat(**fields))
    assert caught.value.param == param


LONG = "mcp__" + "a" * 123
NAMED_TOOLS = {
    "chat": {"tools": [{"type": "function", "function": {"name": LONG}}], "messages": [USER]},
    "responses": {"tools": [{"type": "function", "name": LONG}], "input": "Hi"},
    "messages": {"tools": [{"name": LONG, "input_schema": {}}], "messages": [USER],
                 "max_tokens": 5},
}  # fmt: skip


@pytest.mark.parametrize("api", NAMED_TOOLS)
def test_a_long_name_of_a_tool_is_for_an_engine_that_takes_it(api: Any) -> None:
    body = NAMED_TOOLS[api]
    parsed, _ = parse_call(api, orjson.dumps(body))
    where = "tools[0].function.name" if api == "chat" else "tools[0].name"
    assert parsed.needs == {"tools": "tools", "vllm": where}
    raw = orjson.dumps(body)
    for length, needs in ((64, {"tools": "tools"}), (65, parsed.needs)):
        short, _ = parse_call(api, raw.replace(LONG.encode(), b"a" * length))
        assert short.needs == needs
    with pytest.raises(InvalidRequest, match=r"must match .*\{1,128\}") as caught:
        parse_call(api, raw.replace(LONG.encode(), b"a" * 129))
    assert caught.value.param == where


# Bodies with messages -> whose they are.
WHOSE: dict[str, tuple[dict[str, Any], str]] = {
    "a chat": ({}, "chat"),
    "a system's words": ({"system": "Be kind."}, "messages"),
    "stop sequences": ({"stop_sequences": ["x"]}, "messages"),
    "null of both": ({"system": None, "stop_sequences": None}, "chat"),
    "tools": ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "messages"),
    "functions": ({"tools": [TOOL]}, "chat"),
    "an image": ({"messages": [{"role": "user", "content": [IMAGE]}]}, "chat"),
    "an image of the other": (
        {"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "https://x"}}]}]},
        "messages",
    ),
    "a thought": (
        {"messages": [USER, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""}]}, USER]},
        "messages",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "api"), WHOSE.values(), ids=WHOSE)
def test_a_body_says_whose_it_is(fields: dict[str, Any], api: Any) -> None:
    body = orjson.dumps({"messages": [USER], "max_tokens": 5, **fields})
    found, expected = parse_call(None, body)[0], parse_call(api, body)[0]
    assert found == expected
    assert (found.api or "chat") == api
