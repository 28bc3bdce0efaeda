"""Every mistake is one short line that names the parameter and repeats nothing of the request."""

from typing import Any

import orjson
import pytest

from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import parse
from deployments.protocol.request_checks import MAX_SEQUENCES, MAX_TOKENS

SECRET = "ACME-4711"
USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def refused(endpoint: Endpoint, **fields: Any) -> InvalidRequest:
    least = {"messages": [USER]} if endpoint == "chat" else {"prompt": "Hello"}
    with pytest.raises(InvalidRequest) as caught:
        parse(endpoint, orjson.dumps({"model": "auto", **least, **fields}))
    return caught.value


def turn(**fields: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", **fields}]}


def part(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


def call(**fields: Any) -> dict[str, Any]:
    return turn(tool_calls=[{**CALL, **fields}])


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a turn of nothing": (turn(), "messages[1].content"),
    "a turn of nulls": (turn(content=None, tool_calls=None), "messages[1].content"),
    "a turn of no calls": (turn(content=None, tool_calls=[]), "messages[1].content"),
    "a turn of no parts": (turn(content=[]), "messages[1].content"),
    "a role": ({"messages": [{**USER, "role": SECRET}]}, "messages[0].role"),
    "a role that is a list": ({"messages": [{**USER, "role": [SECRET]}]}, "messages[0].role"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "null content": ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    "content": ({"messages": [{"role": "user", "content": {SECRET: 1}}]}, "messages[0].content"),
    "a result of nothing": (
        {"messages": [{"role": "tool", "content": SECRET}]},
        "messages[0].tool_call_id",
    ),
    "a function's result without a name": (
        {"messages": [{"role": "function", "content": SECRET}]},
        "messages[0].name",
    ),
    "a part's type": (part(type=SECRET), "messages[0].content[0].type"),
    "a part's type that is a number": (part(type=5), "messages[0].content[0].type"),
    "a part's text": (part(type="text", text=[SECRET]), "messages[0].content[0].text"),
    "audio": (
        part(type="input_audio", input_audio={"data": SECRET}),
        "messages[0].content[0].type",
    ),
    "an image under another name": (
        part(type="text", text="x", uuid=SECRET, image_url={"url": "http://169.254.169.254/"}),
        "messages[0].content[0].uuid",
    ),
    "a call's id": (call(id=5), "messages[1].tool_calls[0].id"),
    "a call's type": (call(type=SECRET), "messages[1].tool_calls[0].type"),
    "a call's arguments": (
        call(function={"name": "f", "arguments": {SECRET: 1}}),
        "messages[1].tool_calls[0].function.arguments",
    ),
    "an effort": ({"reasoning_effort": SECRET * 1000}, "reasoning_effort"),
    "a verbosity": ({"verbosity": SECRET}, "verbosity"),
    "a format": ({"response_format": {"type": SECRET}}, "response_format.type"),
    "a choice": ({"tools": [TOOL], "tool_choice": SECRET}, "tool_choice"),
    "a tool's name": ({"tools": [{**TOOL, "function": {"name": "a b"}}]}, "tools[0].function.name"),
    "a tool's type": ({"tools": [{**TOOL, "type": SECRET}]}, "tools[0].type"),
    "129 tools": ({"tools": [TOOL] * 129}, "tools"),
    "a bias's token": ({"logit_bias": {SECRET: 1}}, "logit_bias"),
    "a bias of text": ({"logit_bias": {"5": SECRET}}, "logit_bias"),
    "a bias too strong": ({"logit_bias": {"5": 100.5}}, "logit_bias"),
    "a label": ({"metadata": {SECRET: 5}}, "metadata"),
    "17 labels": ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
    "a long label": ({"metadata": {"a": SECRET * 100}}, "metadata"),
    "a long label's name": ({"metadata": {SECRET * 10: "a"}}, "metadata"),
    "a model": ({"model": SECRET * 100}, "model"),
    "bad words": ({"bad_words": [SECRET, ""]}, "bad_words[1]"),
    "token ids": ({"allowed_token_ids": [1, SECRET]}, "allowed_token_ids[1]"),
    "no token ids": ({"allowed_token_ids": []}, "allowed_token_ids"),
    "negative token ids": ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
    "a salt": ({"cache_salt": SECRET + "/.."}, "cache_salt"),
    "extension arguments": ({"vllm_xargs": {SECRET: {}}}, "vllm_xargs"),
    "documents": ({"documents": [{SECRET: 5}]}, "documents[0]"),
    "a negative penalty": ({"repetition_penalty": -1}, "repetition_penalty"),
    "the window's end alone": ({"continue_final_message": True}, "continue_final_message"),
    "least above most": ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
    "a pattern": ({"repetition_detection": {"max_pattern_size": 3}}, "repetition_detection"),
    "two constraints": (
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs",
    ),
    "no constraint": ({"structured_outputs": {}}, "structured_outputs"),
    "a constraint nobody has": ({"structured_outputs": {SECRET: 1}}, "structured_outputs"),
    "no choice": ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
    "a choice of numbers": (
        {"structured_outputs": {"choice": [1]}},
        "structured_outputs.choice[0]",
    ),
    "an empty pattern": ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex"),
    "a schema's text": ({"structured_outputs": {"json": SECRET}}, "structured_outputs.json"),
    "no JSON": ({"structured_outputs": {"json_object": False}}, "structured_outputs"),
    "both names": (
        {"guided_regex": "a", "structured_outputs": {"regex": "a"}},
        "guided_regex",
    ),
    "two older names": ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_regex"),
    "a format and a constraint": (
        {"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}},
        "structured_outputs",
    ),
    "a schema of any JSON": (
        {"response_format": {"type": "json_object", "json_schema": {"name": "a", "schema": {}}}},
        "response_format",
    ),
    "a schema that is text": (
        {"response_format": {"type": "json_object", "schema": SECRET}},
        "response_format.json_schema.schema",
    ),
    "prompt logprobs of a stream": ({"stream": True, "prompt_logprobs": 1}, "prompt_logprobs"),
    "functions": ({"functions": [{"name": SECRET}]}, "functions"),
    "a template": ({"chat_template": SECRET}, "chat_template"),
    "a higher priority": ({"priority": -1}, "priority"),
}


@pytest.mark.parametrize(("fields", "param"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_of_our_own(fields: dict[str, Any], param: str) -> None:
    error = refused("chat", **fields)
    assert error.param == param
    assert f"'{param}'" in error.message or fields.keys() & {"guided_regex", "guided_choice"}
    assert SECRET not in orjson.dumps(error.envelope()).decode()
    assert "\n" not in error.message
    assert len(error.message) < 200


WORK: dict[str, tuple[Endpoint, dict[str, Any], str]] = {
    "many prompts": ("completions", {"prompt": ["x"] * (MAX_SEQUENCES + 1)}, "prompt"),
    "prompts times choices": ("completions", {"prompt": ["x"] * 65, "n": 2}, "prompt"),
    "tokens of prompts": ("completions", {"prompt": [[1]] * 2, "n": 65}, "prompt"),
    "100,000 prompts": ("completions", {"prompt": ["x"] * 100_000, "n": 128}, "prompt"),
    "choices times tokens": ("chat", {"n": 128, "max_tokens": MAX_TOKENS // 128 + 1}, "max_tokens"),
    "129 choices": ("chat", {"n": 129}, "n"),
}


@pytest.mark.parametrize(("endpoint", "fields", "param"), WORK.values(), ids=WORK)
def test_one_request_cannot_ask_for_a_crowd(
    endpoint: Endpoint, fields: dict[str, Any], param: str
) -> None:
    assert refused(endpoint, **fields).param == param


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("completions", {"prompt": ["x"] * MAX_SEQUENCES}),
        ("completions", {"prompt": list(range(100_000)), "n": 128}),
        ("chat", {"n": 128, "max_tokens": MAX_TOKENS // 128}),
        ("chat", {"max_tokens": 10 * MAX_TOKENS}),
        ("completions", {"max_tokens": 0, "echo": True}),
    ],
)
def test_what_one_request_may_ask_for(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    least = {"messages": [USER]} if endpoint == "chat" else {"prompt": "Hello"}
    parse(endpoint, orjson.dumps({"model": "auto", **least, **fields}))


IMAGES = {
    "data:image/png;base64,AAAA": set(),
    "DATA:image/svg+xml;charset=utf-8;base64,AAAA": set(),
    "https://A.example/x.png": {"a.example"},
    "http://a.example:8080/x?q=1": {"a.example"},
    "http://169.254.169.254/latest/meta-data": {"169.254.169.254"},
}
NO_IMAGES = [
    "file:///etc/passwd",
    "ftp://a.example/x",
    "/etc/passwd",
    "",
    "data:text/html;base64,AAAA",
    "data:image/png,AAAA",
    "http://a.example@evil.example/",
    "http://evil.example\\@a.example/",
    "http://a.example\n.evil.example/",
    " http://a.example/",
    "http://[::1",
    "http://",
    "//a.example/x",
]


@pytest.mark.parametrize(("url", "hosts"), IMAGES.items())
def test_a_request_says_where_its_images_come_from(url: str, hosts: set[str]) -> None:
    fields = part(type="image_url", image_url={"url": url, "detail": None})
    parsed = parse("chat", orjson.dumps({"model": "auto", **fields}))
    assert parsed.media_hosts == hosts
    assert parsed.needs == {"vision": "messages[0].content[0]"}
    assert parsed.body["messages"][0]["content"][0]["image_url"] == {"url": url}


@pytest.mark.parametrize("url", NO_IMAGES)
def test_an_address_that_is_no_plain_one_is_refused(url: str) -> None:
    error = refused("chat", **part(type="image_url", image_url={"url": url}))
    assert error.param == "messages[0].content[0].image_url.url"
    assert "example" not in error.message


def test_nulls_of_an_earlier_answer_are_taken_out() -> None:
    said = {
        "role": "assistant",
        "content": "Hi",
        "tool_calls": None,
        "refusal": None,
        "audio": None,
    }
    called = {"role": "assistant", "content": None, "tool_calls": [CALL], "function_call": None}
    turns = [USER, said, {**said, "tool_calls": []}, called]
    parsed = parse("chat", orjson.dumps({"model": "auto", "messages": turns}))
    plain = {"role": "assistant", "content": "Hi"}
    wanted = [USER, plain, plain, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    assert parsed.body["messages"] == wanted


def test_of_two_limits_the_smaller_is_passed_on() -> None:
    for tokens, completion_tokens in ((5, 7), (7, 5)):
        limits = {"max_tokens": tokens, "max_completion_tokens": completion_tokens}
        parsed = parse("chat", orjson.dumps({"model": "auto", "messages": [USER], **limits}))
        assert parsed.body["max_completion_tokens"] == 5
        assert "max_tokens" not in parsed.body


def test_a_request_shows_nothing_of_itself_in_a_log() -> None:
    body = {"model": SECRET, "messages": [{"role": "user", "content": SECRET}], SECRET: 1}
    parsed = parse("chat", orjson.dumps(body))
    assert SECRET not in repr(parsed)
