"""What the simulated engine says has OpenAI's shape, by the official client's own models."""

import asyncio
import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import ContextLengthExceeded, InvalidRequest
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.simulated.answer import answer
from deployments.simulated.engine import SimulatedEngine
from deployments.simulated.schema_json import sample

INSTANT = SimulatedEngineConfig(
    first_token_delay_s=0.0, inter_token_delay_s=0.0, prompt_tokens_per_s=1e12
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def chat(**body: Any) -> EngineRequest:
    message = {"role": "user", "content": "How does INT4 work?"}
    return EngineRequest("chat", {"model": "small", "messages": [message]} | body, "abc")


def completions(**body: Any) -> EngineRequest:
    return EngineRequest("completions", {"model": "small", "prompt": "Once upon a"} | body, "abc")


def ask(request: EngineRequest) -> tuple[list[bytes], Usage]:
    """The answer's items and its usage."""

    async def collect() -> list[Chunk]:
        engine = SimulatedEngine(INSTANT, "small")
        await engine.start()
        return [item async for item in engine.generate(request)]

    chunks = asyncio.run(collect())
    return [chunk.data for chunk in chunks if chunk.data], chunks[-1].usage


def document(request: EngineRequest) -> dict[str, Any]:
    items, _ = ask(request)
    assert len(items) == 1
    parsed: dict[str, Any] = json.loads(items[0])
    return parsed


def events(request: EngineRequest) -> list[dict[str, Any]]:
    items, _ = ask(EngineRequest(request.endpoint, request.body | {"stream": True}, "abc"))
    parts = b"".join(items).split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: ") and b"\n" not in part for part in parts)
    return [json.loads(part[6:]) for part in parts]


REQUESTS = [
    pytest.param(chat(), id="chat"),
    pytest.param(chat(n=3, max_tokens=4), id="several choices"),
    pytest.param(chat(logprobs=True, top_logprobs=3), id="logprobs"),
    pytest.param(chat(tools=[CLOCK, WEATHER], tool_choice="required"), id="tool required"),
    pytest.param(chat(tools=[WEATHER], tool_choice="auto"), id="tool offered"),
    pytest.param(chat(response_format={"type": "json_object"}), id="JSON"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_chat_document_is_openais(request_: EngineRequest) -> None:
    ChatCompletion.model_validate(document(request_), strict=True)


@pytest.mark.parametrize("request_", REQUESTS)
def test_chat_events_are_openais_and_say_the_same_as_the_document(request_: EngineRequest) -> None:
    chunks = [ChatCompletionChunk.model_validate(event, strict=True) for event in events(request_)]
    whole = ChatCompletion.model_validate(document(request_), strict=True)
    for choice in whole.choices:
        mine = [part for chunk in chunks for part in chunk.choices if part.index == choice.index]
        assert [part.delta.role for part in mine[:2]] == ["assistant", None]
        assert [part.finish_reason for part in mine if part.finish_reason] == [choice.finish_reason]
        assert mine[-1].finish_reason
        text = "".join(part.delta.content or "" for part in mine)
        assert text == (choice.message.content or "")
        calls = [call for part in mine for call in part.delta.tool_calls or ()]
        arguments = "".join(call.function.arguments or "" for call in calls if call.function)
        for called in choice.message.tool_calls or ():
            assert called.type == "function"
            assert (calls[0].id, calls[0].function and calls[0].function.name) == (
                called.id,
                called.function.name,
            )
            assert arguments == called.function.arguments


@pytest.mark.parametrize(
    ("request_", "choices"),
    [
        pytest.param(completions(), 1, id="one prompt"),
        pytest.param(completions(prompt=["a", "b"], n=2), 4, id="two prompts, two choices each"),
        pytest.param(completions(prompt=[1, 2, 3], logprobs=2), 1, id="token ids, logprobs"),
        pytest.param(completions(prompt=[[1, 2], [3]]), 2, id="two lists of token ids"),
    ],
)
def test_completion_is_openais_in_both_forms(request_: EngineRequest, choices: int) -> None:
    whole = Completion.model_validate(document(request_), strict=True)
    assert [choice.index for choice in whole.choices] == list(range(choices))
    texts = dict.fromkeys(range(choices), "")
    for event in events(request_):
        for choice in event["choices"]:
            texts[choice["index"]] += choice["text"]
    assert list(texts.values()) == [choice.text for choice in whole.choices]
    for event in events(request_):
        open_choices = [
            c | {"finish_reason": c["finish_reason"] or "stop"} for c in event["choices"]
        ]
        Completion.model_validate(event | {"choices": open_choices}, strict=True)


def test_usage_event_comes_only_if_asked() -> None:
    assert all("usage" not in event for event in events(chat()))
    *_, last = events(chat(stream_options={"include_usage": True}))
    assert last["choices"] == []
    _, usage = ask(chat())
    assert last["usage"]["completion_tokens"] == usage.completion_tokens
    assert document(chat())["usage"] == last["usage"]


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_sets_the_length(key: str) -> None:
    _, usage = ask(chat(**{key: 300}))
    assert usage.completion_tokens == 300
    assert document(chat(**{key: 300}))["choices"][0]["finish_reason"] == "length"


def test_length_without_a_limit_has_the_configured_mean_and_ends_by_itself() -> None:
    planned = [answer(chat(seed=i), INSTANT) for i in range(400)]
    mean = sum(one.completion_tokens for one in planned) / len(planned)
    assert 0.8 * INSTANT.mean_completion_tokens < mean < 1.2 * INSTANT.mean_completion_tokens
    assert {one.choices[0].finish_reason for one in planned} == {"stop"}


def test_context_window_ends_an_answer_without_a_limit() -> None:
    tight = INSTANT.model_copy(update={"max_model_len": 12})  # 8 of them are the prompt's
    assert answer(chat(), tight).choices[0].pieces == ("This", " is", " a", " simulated")
    assert answer(chat(), tight).choices[0].finish_reason == "length"


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [5, 4096, 10**12])
def test_a_limit_beyond_the_window_is_what_the_prompt_leaves_of_it(key: str, limit: int) -> None:
    tight = INSTANT.model_copy(update={"max_model_len": 12})  # 8 of them are the prompt's
    one = answer(chat(**{"max_tokens": None, key: limit}), tight)
    assert (one.completion_tokens, one.choices[0].finish_reason) == (4, "length")


def test_a_prompt_that_fills_the_window_has_no_room_for_an_answer() -> None:
    full = INSTANT.model_copy(update={"max_model_len": 8})
    with pytest.raises(ContextLengthExceeded, match="leaves none"):
        answer(chat(), full)


def test_stop_cuts_the_text_before_the_first_mark() -> None:
    choice = document(chat(stop=["answer", "mulated"]))["choices"][0]
    assert choice["message"]["content"] == "This is a si"
    assert choice["finish_reason"] == "stop"


def test_same_seed_and_request_give_the_same_answer() -> None:
    config = SimulatedEngineConfig(seed=1)
    same = EngineRequest("chat", chat().body | {"stream": True, "user": "someone"}, "other id")
    assert answer(chat(), config) == answer(same, config)
    assert answer(chat(), config) != answer(chat(), SimulatedEngineConfig(seed=2))
    assert answer(chat(), config) != answer(chat(seed=5), config)


@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "function": {"name": "weather"}}],
    ids=["required", "named"],
)
def test_forced_tool_is_called_with_arguments_that_satisfy_its_schema(choice: Any) -> None:
    tools = [WEATHER] if choice == "required" else [CLOCK, WEATHER]
    whole = document(chat(tools=tools, tool_choice=choice))["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    function = whole["message"]["tool_calls"][0]["function"]
    assert function["name"] == "weather"
    jsonschema.validate(json.loads(function["arguments"]), WEATHER["function"]["parameters"])  # type: ignore[index]  # a nested literal


TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "left": {"$ref": "#/$defs/node"},
            },
            "required": ["value"],
        }
    },
}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "boolean"}}},
    {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 4}, "minItems": 3},
    {"anyOf": [{"type": "string", "minLength": 20, "maxLength": 22}, {"type": "null"}]},
    {"type": "number", "minimum": 0.5, "maximum": 0.9},
    {"type": "integer", "exclusiveMinimum": 7},
    {"type": ["string", "null"], "maxLength": 3},
    {"properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
    TREE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:40])
def test_structured_output_satisfies_its_schema(schema: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    whole = document(chat(response_format=wanted))["choices"][0]
    jsonschema.validate(json.loads(whole["message"]["content"]), schema)
    assert whole["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/missing"},
        {"type": "array", "minItems": "many"},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}},
            "required": "ab",
        },
        {"type": "integer", "minimum": "low"},
    ],
)
def test_schema_without_an_end_or_sense_is_a_bad_request(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        sample(schema, random.Random(0))


@pytest.mark.parametrize(
    "bad",
    [
        chat(messages=[]),
        chat(messages="Hello"),
        chat(messages=[3]),
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        chat(max_tokens=0),
        chat(max_tokens="many"),
        chat(max_tokens=True),
        chat(logprobs=True, top_logprobs="many"),
        chat(n=0),
        chat(n=1000),
        chat(tool_choice="required"),
        chat(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "other"}}),
        chat(tools="weather"),
        chat(response_format={"type": "json_schema"}),
        completions(prompt=None),
        completions(prompt=[]),
        completions(prompt=[[]]),
        completions(prompt={"a": 1}),
    ],
    ids=lambda request: str({k: v for k, v in request.body.items() if k != "model"})[:60],
)
def test_bad_body_is_a_bad_request(bad: EngineRequest) -> None:
    with pytest.raises(InvalidRequest):
        ask(bad)


def test_prompt_beyond_the_window_names_the_window() -> None:
    with pytest.raises(ContextLengthExceeded, match="4096"):
        ask(chat(messages=[{"role": "user", "content": "x" * 4 * 5000}]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ("messages", "prompt", "n", "max_tokens", "stop", "tools", "tool_choice", "logprobs")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.dictionaries(
        st.sampled_from((*KEYS, "response_format", "top_logprobs", "stream_options", "stream")),
        JSON,
    ),
    endpoint=st.sampled_from(("chat", "completions")),
)
def test_no_body_breaks_the_engine(body: dict[str, Any], endpoint: Any) -> None:
    base = chat().body | {"prompt": "Hello"}
    try:
        items, _ = ask(EngineRequest(endpoint, base | body, "abc"))
    except InvalidRequest:
        return
    assert items


DAYS = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1}}}
CONSTRAINTS: dict[str, Any] = {
    "choice": ({"choice": ["yes", "no"]}, lambda text: text in ("yes", "no")),
    "json": (
        {"json": DAYS},
        lambda text: json.loads(text)["days"] > 0,
    ),
    "json as text": (
        {"json": '{"type": "integer"}'},
        lambda text: isinstance(json.loads(text), int),
    ),
    "json_object": ({"json_object": True}, lambda text: isinstance(json.loads(text), dict)),
}


@pytest.mark.parametrize(("constraint", "holds"), CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_an_answer_keeps_to_its_constraint(constraint: Any, holds: Any) -> None:
    request = chat(structured_outputs=constraint)
    assert holds(document(request)["choices"][0]["message"]["content"])
    assert holds(
        document(completions(structured_outputs=constraint, max_tokens=99))["choices"][0]["text"]
    )


REFUSED = {
    "regex": {"structured_outputs": {"regex": "a+"}},
    "grammar": {"structured_outputs": {"grammar": "root ::= 'a'"}},
    "allowed tokens": {"allowed_token_ids": [1]},
    "bad words": {"bad_words": ["x"]},
    "prompt logprobs": {"prompt_logprobs": 1},
    "token ids": {"return_token_ids": True},
    "beam search": {"use_beam_search": True},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_keep_to_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask(chat(**fields))
    assert [caught.value.param] == list(fields)


def test_an_echo_is_refused_and_a_flag_that_is_off_is_not() -> None:
    with pytest.raises(InvalidRequest):
        ask(completions(echo=True))
    ask(completions(echo=False))
    ask(chat(top_k=5, min_p=0.1, repetition_penalty=1.1, ignore_eos=True))


def test_an_answer_has_at_least_the_tokens_that_it_must_have() -> None:
    assert document(chat(min_tokens=700))["usage"]["completion_tokens"] >= 700


def test_a_schema_cannot_ask_for_a_text_without_an_end() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        sample({"type": "string", "minLength": 3 * 10**8}, random.Random(1))
