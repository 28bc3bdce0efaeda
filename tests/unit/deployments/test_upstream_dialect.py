"""Each upstream is asked in its own words, and what a client may send does not depend on which."""

import json
from typing import Any

import pytest

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.request_fields import VLLM_ONLY
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.upstream import Dialect, UpstreamConfig
from deployments.upstream.engine import UpstreamEngine
from tests.scripted_upstream import DONE, Step, answered, chat, failed, said, scripted, sse

OK_ANSWER = sse(said("a"), DONE)


def complaint(message: str, status: int = 400, **fields: Any) -> list[Step]:
    body = json.dumps({"error": {"message": message, **fields}}).encode()
    return [f"HTTP/1.1 {status} No\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body]


def pydantics(field: str) -> list[Step]:
    detail = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not ..."}
    body = json.dumps({"detail": [detail]}).encode()
    return [f"HTTP/1.1 422 No\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body]


def asking(field: str, value: Any) -> EngineRequest:
    request = chat()
    request.body[field] = value
    return request


# -- as configured --------------------------------------------------------------------------------


async def test_fields_are_renamed_and_dropped() -> None:
    dialect = {"rename": {"max_tokens": "max_completion_tokens"}, "drop": ["seed"]}
    async with scripted(OK_ANSWER, dialect=dialect) as (engine, script):
        await answered(engine, chat(max_tokens=9, seed=1))
        await answered(engine, chat(max_tokens=9, max_completion_tokens=5))
        assert script.bodies[0]["max_completion_tokens"] == 9
        assert script.bodies[1]["max_completion_tokens"] == 5
        for body in script.bodies:
            assert not body.keys() & {"max_tokens", "seed"}


async def test_stream_options_stay_here_where_they_are_unwanted() -> None:
    async with scripted(OK_ANSWER, dialect={"stream_options": False}) as (engine, script):
        raw, usage = await answered(engine, chat(stream_options={"include_usage": True}))
        assert "stream_options" not in script.bodies[0]
        assert f'"completion_tokens": {usage.completion_tokens}' in raw.decode()


@pytest.mark.parametrize(("speaks", "kept"), [("vllm", True), ("openai", False)])
async def test_thoughts_of_earlier_turns_leave_for_vllm_only(speaks: str, kept: bool) -> None:
    thought = {"role": "assistant", "content": "Yes.", "reasoning": "Hm."}
    async with scripted(OK_ANSWER, speaks=speaks) as (engine, script):
        await answered(engine, chat(messages=[thought]))
    (sent,) = script.bodies[0]["messages"]
    assert sent["content"] == "Yes."
    assert ("reasoning" in sent) is kept


@pytest.mark.parametrize("field", ["user", "safety_identifier", "prompt_cache_key"])
async def test_long_names_of_users_fit_openais_limit_and_stay_apart(field: str) -> None:
    names = ["u" * 64, "u" * 65, "u" * 66, "user_" + "f" * 64 + "_session_" + "0" * 36]
    for speaks in ("openai", "vllm"):
        async with scripted(OK_ANSWER, speaks=speaks) as (engine, script):
            for name in names:
                await answered(engine, asking(field, name))
        sent = [body[field] for body in script.bodies]
        assert sent[0] == names[0]
        assert len(set(sent)) == len(names)
        assert (sent == names) is (speaks == "vllm")
        assert (max(map(len, sent)) == 64) is (speaks == "openai")


async def test_azure_is_asked_as_it_wants() -> None:
    dialect = {
        "chat_path": "/deployments/big/chat/completions",
        "completions_path": "/deployments/old/completions",
        "query": {"api-version": "2024-10-21"},
        "auth_header": "api-key",
        "auth_prefix": "",
    }
    async with scripted(OK_ANSWER, dialect=dialect) as (engine, script):
        await answered(engine, chat())
        await answered(engine, EngineRequest("completions", {"prompt": "a", "stream": True}, "r"))
        first, second = (head.lower() for head in script.heads)
        assert first.startswith(
            b"post /v1/deployments/big/chat/completions?api-version=2024-10-21 "
        )
        assert second.startswith(b"post /v1/deployments/old/completions?api-version=2024-10-21 ")
        assert b"api-key: right" in first
        assert b"authorization" not in first


async def test_configured_key_header_replaces_one_of_the_headers() -> None:
    async with scripted(OK_ANSWER, headers={"Authorization": "Basic x"}) as (engine, script):
        await answered(engine, chat())
        assert script.heads[0].lower().count(b"authorization") == 1
        assert b"Bearer right" in script.heads[0]


OWN = sorted(VLLM_ONLY["chat"])


@pytest.mark.parametrize("field", OWN)
async def test_vllms_fields_leave_for_vllm_only(field: str) -> None:
    async with scripted(OK_ANSWER) as (engine, script):
        _, error = await failed(engine, asking(field, ["yes", "no"]))
        assert (type(error), error.param) == (InvalidRequest, field)
        assert script.bodies == []
        await answered(engine, asking(field, None))
        assert field not in script.bodies[0]
    async with scripted(OK_ANSWER, speaks="vllm") as (engine, script):
        await answered(engine, asking(field, ["yes", "no"]))
        assert script.bodies[0][field] == ["yes", "no"]


async def test_vllms_fields_that_ask_for_nothing_are_left_out() -> None:
    async with scripted(OK_ANSWER) as (engine, script):
        await answered(engine, chat(top_k=-1, min_p=0, repetition_penalty=1, temperature=0.5))
        assert not script.bodies[0].keys() & VLLM_ONLY["chat"]
        assert script.bodies[0]["temperature"] == 0.5


@pytest.mark.parametrize(
    "dialect",
    [
        {"rename": {"model": "engine"}},
        {"rename": {"input": "messages"}},
        {"drop": ["stream"]},
        {"chat_path": "chat"},
        {"chat_path": "/chat?api-version=1"},
        {"auth_header": "api key"},
        {"auth_prefix": "Bearer\n"},
        {"surprise": 1},
    ],
)
def test_dialect_that_breaks_requests_is_refused(dialect: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(dialect))):
        Dialect(**dialect)


# -- as learned -----------------------------------------------------------------------------------

OPENAI = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)
UNKNOWN = {
    "openai": complaint(OPENAI, param="max_tokens", code="unsupported_parameter"),
    "azure": complaint(OPENAI, param="max_tokens", code="unsupported_parameter", type="x"),
    "words alone": complaint(OPENAI),
    "unrecognized": complaint("Unrecognized request argument supplied: max_tokens"),
    "pydantic": pydantics("max_tokens"),
    "the other way round": complaint("Please use 'max_completion_tokens' instead of 'max_tokens'."),
    "deprecated": complaint(
        "'max_tokens' is deprecated for this model, use 'max_completion_tokens'."
    ),
    "invalid": complaint("Invalid parameter: max_tokens"),
}


@pytest.mark.parametrize("first", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
async def test_new_name_of_the_length_limit_is_learned_once(
    first: list[Step], stream: bool
) -> None:
    async with scripted(first, OK_ANSWER, max_retries=0) as (engine, script):
        for _ in range(2):
            await answered(engine, chat(stream=stream, max_tokens=9))
        first_body, second, third = script.bodies
        assert first_body["max_tokens"] == 9
        assert second["max_completion_tokens"] == third["max_completion_tokens"] == 9
        assert "max_tokens" not in second


async def test_old_name_of_the_length_limit_is_learned_too() -> None:
    refused = pydantics("max_completion_tokens")
    async with scripted(refused, OK_ANSWER) as (engine, script):
        request = chat(max_completion_tokens=9)
        del request.body["max_tokens"]
        await answered(engine, request)
        assert script.bodies[1]["max_tokens"] == 9


async def test_wrong_setting_is_unlearned() -> None:
    dialect = {"rename": {"max_tokens": "max_completion_tokens"}}
    refused = pydantics("max_completion_tokens")
    async with scripted(refused, OK_ANSWER, dialect=dialect) as (engine, script):
        await answered(engine, chat(max_tokens=9))
        assert script.bodies[1]["max_tokens"] == 9


@pytest.mark.parametrize(
    "first",
    [
        complaint("Unrecognized request argument supplied: stream_options"),
        complaint("Invalid parameter: stream_options"),
        complaint("No such thing: not supported.", param="stream_options.include_usage"),
        complaint("'stream_options' is deprecated; not allowed when streaming."),
    ],
    ids=["openai", "invalid", "part", "first named"],
)
async def test_refused_stream_options_are_left_out(first: list[Step]) -> None:
    async with scripted(first, OK_ANSWER) as (engine, script):
        _, usage = await answered(engine, chat())
        assert usage.completion_tokens == 1
        assert "stream_options" not in script.bodies[1]


@pytest.mark.parametrize(
    "first",
    [
        complaint(
            "Your organization must be verified to stream this model.",
            param="stream",
            code="unsupported_value",
        ),
        complaint("Streaming is not supported for this model."),
        complaint("This model doesn't support tool use in streaming mode."),
        complaint("This model does not support streaming"),
        complaint("stream=true is not supported"),
        complaint("The parameter `stream` must be false for this model"),
    ],
    ids=["openai", "mode", "bedrock", "verb", "value", "parameter"],
)
async def test_upstream_that_may_not_stream_is_asked_for_documents(first: list[Step]) -> None:
    body = b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    async with scripted(first, [head.encode() + body]) as (engine, script):
        await answered(engine, chat(stream=False))
        assert not script.bodies[1].get("stream")


async def test_lessons_come_one_after_the_other() -> None:
    answers = (pydantics("max_tokens"), pydantics("stream_options"), OK_ANSWER)
    async with scripted(*answers) as (engine, script):
        await answered(engine, chat())
        assert len(script.bodies) == 3


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([complaint(OPENAI), pydantics("max_completion_tokens")], id="neither name"),
        pytest.param([complaint("max_tokens is too large: 9. At most 4.")], id="its value"),
        pytest.param([complaint("Invalid parameter: max_tokens must be 4 at most")], id="invalid"),
        pytest.param(
            [complaint("'temperature' is not supported", param="temperature")], id="other"
        ),
        pytest.param(
            [complaint("Unsupported value: 'temperature'. Not max_tokens.")] * 2, id="words"
        ),
    ],
)
async def test_no_lesson_is_learned_in_vain(answers: list[list[Step]]) -> None:
    async with scripted(*answers) as (engine, script):
        _, error = await failed(engine, chat(temperature=0.1))
        assert type(error) is InvalidRequest
        assert len(script.bodies) <= 2
        assert all(body["temperature"] == 0.1 for body in script.bodies)


# -- the key --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["right\n", "right\r\n", " right\t", "\ufeffright\r\n", "\ufeff right"]
)
async def test_key_is_stripped_of_what_files_bring_along(key: str) -> None:
    async with scripted(OK_ANSWER, key=key) as (engine, script):
        await answered(engine, chat())
        assert b"authorization: Bearer right\r\n" in script.heads[0]


@pytest.mark.parametrize(
    "key",
    [
        "two\nlines",
        "sk-\x00x",
        "a b",
        "schlüssel",
        "a\x7f",
        "a\u2028b",
        '"sk-a"',
        "'sk-a'",
        "KEY=sk-a",
    ],
)
def test_key_that_no_header_carries_is_refused_by_its_variables_name(key: str) -> None:
    config = UpstreamConfig(base_url="http://x/v1", model="m", api_key_env="BIG_KEY")
    with pytest.raises(ValueError, match="BIG_KEY") as caught:
        UpstreamEngine(config, key, PrivacyConfig())
    assert "\n" not in str(caught.value)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", [None, "", " ", "\n", "\ufeff\r\n"])
def test_missing_key_is_told_by_the_name_of_its_variable(key: str | None) -> None:
    config = UpstreamConfig(base_url="http://x/v1", model="m", api_key_env="BIG_KEY")
    with pytest.raises(ValueError, match="BIG_KEY is not set"):
        UpstreamEngine(config, key, PrivacyConfig())
