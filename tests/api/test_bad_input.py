"""Whatever is sent, the answer is OpenAI's envelope, never a 500, and the next request works."""

import asyncio
import threading
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.faults.bad_bodies import BAD, USER, chat
from deployments.protocol.apis import parse_call
from tests.api.conftest import Service, Serving, in_process

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("body", "status", "code"), BAD.values(), ids=BAD)
async def test_a_bad_request_gets_a_clear_error_and_the_next_one_works(
    service: Service, body: bytes, status: int, code: str
) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, content=body, headers=JSON)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert error["type"] == "invalid_request_error"
        assert "Traceback" not in answer.text
        assert "x-smallfirst-request-id" in answer.headers
        assert (await http.post(CHAT, content=chat(), headers=JSON)).status_code == 200


async def test_ten_thousand_messages_that_fit_are_answered(service: Service) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, content=chat(messages=[USER] * 10_000), headers=JSON)
    assert answer.status_code == 200


async def test_unknown_fields_are_ignored_as_openai_does(service: Service) -> None:
    async with service.http as http:
        assert (
            await http.post(CHAT, content=chat(wibble={"a": [1]}), headers=JSON)
        ).status_code == 200
    assert "wibble" not in service.handles["small"].requests[0].body


REMOTE = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/?q=patient"}}
SEES = {"capabilities": ["vision"]}


@pytest.mark.parametrize("model", ["auto", "small", "large"])
@pytest.mark.parametrize("headers", [{}, {"x-smallfirst-local-only": "true"}])
async def test_an_image_elsewhere_is_fetched_by_nobody(
    local: Serving, model: str, headers: dict[str, str]
) -> None:
    async with local(small_tier=SEES, large_tier=SEES) as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            body = chat(model=model, messages=[{"role": "user", "content": [REMOTE]}])
            answer = await http.post(CHAT, content=body, headers=JSON | headers)
            error = answer.json()["error"]
            assert answer.status_code == 400
            assert error["code"] == ("local_only" if headers else "invalid_request")
            assert "patient" not in answer.text and "data:" in error["message"]
        assert service.asked() == []


async def test_a_constraint_reaches_the_engine_or_is_refused_by_name(local: Serving) -> None:
    fields: dict[str, Any] = {"structured_outputs": {"choice": ["yes", "no"]}, "max_tokens": 9}
    async with local() as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            answer = await http.post(CHAT, content=chat(**fields), headers=JSON)
            assert answer.json()["choices"][0]["message"]["content"] in ("yes", "no")
            answer = await http.post(
                CHAT, content=chat(guided_choice=["yes"], max_tokens=9), headers=JSON
            )
            assert answer.json()["choices"][0]["message"]["content"] == "yes"
            answer = await http.post(CHAT, content=chat(allowed_token_ids=[1]), headers=JSON)
            assert (answer.status_code, answer.json()["error"]["param"]) == (
                400,
                "allowed_token_ids",
            )


async def test_a_long_body_is_parsed_beside_the_event_loop(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = list[bool]()

    def watched(endpoint: Any, raw: bytes) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return parse_call(endpoint, raw)

    monkeypatch.setattr("deployments.http.body.parse_call", watched)
    async with service.http as http:
        for size in (10, 100_000):
            body = chat(messages=[{"role": "user", "content": "x" * size}])
            assert (await http.post(CHAT, content=body, headers=JSON)).status_code == 200
            assert (await http.post("/v1/route", content=body, headers=JSON)).status_code == 200
    assert threads == [True, True, False, False]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**64 - 1)
    | st.floats()
    | st.text("a 0é\n\r\x00\x1b\u2028", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "function", "name", "schema"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)
BASE: dict[str, Any] = {"model": "auto", "max_tokens": 2, "messages": [USER], "prompt": "Hi"}
NAMES = ["model", "messages", "prompt", "stream", "stream_options", "temperature", "top_p", "n"]
NAMES += ["stop", "seed", "max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "tools"]
NAMES += ["tool_choice", "response_format", "user", "metadata", "top_logprobs", "wibble"]
RESPONSES = [
    "input",
    "instructions",
    "text",
    "reasoning",
    "include",
    "tools",
    "tool_choice",
    "model",
]
RESPONSES += ["metadata", "max_output_tokens", "truncation", "store", "messages"]
MESSAGES = ["messages", "system", "tools", "tool_choice", "thinking", "metadata", "model", "input"]
MESSAGES += ["stop_sequences", "output_config", "max_tokens", "top_k"]
COUNT = "/v1/messages/count_tokens"
OTHER_NAMES = {"/v1/responses": RESPONSES, "/v1/messages": MESSAGES, COUNT: MESSAGES}
MESSAGE: dict[str, Any] = {"messages": [USER], "max_tokens": 2}
RESPONSE: dict[str, Any] = {"input": "Hi", "max_output_tokens": 2}
OTHER_BASES = {"/v1/responses": RESPONSE, "/v1/messages": MESSAGE, COUNT: MESSAGE}
# Items and blocks of the right type and random rest, in every place that takes some.
KINDS = ["message", "function_call", "function_call_output", "custom_tool_call", "reasoning"]
KINDS += ["input_text", "input_image", "text", "image", "tool_use", "tool_result", "thinking"]
KINDS += ["function", "custom", "json_schema", "base64", "url", "allowed_tools", "any", "tool"]
KEYS = ["role", "content", "text", "name", "id", "call_id", "tool_use_id", "arguments", "output"]
KEYS += ["input", "source", "image_url", "summary", "parameters", "input_schema", "format", "tools"]
typed = st.recursive(
    values | st.sampled_from(["user", "assistant", "c1", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(
            lambda kind, rest: {"type": kind, **rest},
            st.sampled_from(KINDS),
            st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        )
    ),
    max_leaves=8,
)


PATHS = [CHAT, "/v1/completions", "/v1/route", "/v1/responses", "/v1/messages", COUNT]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[0m", "a\u2028b", "\x7f", "a" * 101])
async def test_a_name_that_is_no_plain_line_is_not_repeated(service: Service, name: str) -> None:
    said = []
    async with service.http as http:
        for path in (CHAT, "/v1/responses", "/v1/messages", COUNT, "/v1/route"):
            body = {"messages": [USER], "max_tokens": 2, "model": name}
            body = {"input": "Hi", "model": name} if path == "/v1/responses" else body
            said.append(await http.post(path, json=body))
        quoted = quote(name, safe="")
        said += [await http.get(f"/v1/models/{quoted}"), await http.get(f"/v1/{quoted}")]
    for answer in said:
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].isprintable()
    for answer in said[:-1]:
        assert name not in answer.json()["error"]["message"]


def drawn(path: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """A path, and a body for it that is right but for up to four fields."""
    base, names = OTHER_BASES.get(path, BASE), OTHER_NAMES.get(path, NAMES)
    fields = st.dictionaries(st.sampled_from(names), typed, max_size=4)
    return fields.map(lambda given: (path, {**base, **given}))


def is_fine(path: str, answer: httpx.Response) -> bool:
    """An answer, or a status that blames the request, in one line and in the API's own shape."""
    if answer.status_code == 200:
        return True
    said = answer.json()
    anthropics = set(said) == {"type", "error"} and set(said["error"]) == {"type", "message"}
    openais = set(said["error"]) == {"message", "type", "param", "code"}
    one_line = said["error"]["message"].isprintable()
    shape = anthropics if path.startswith("/v1/messages") else openais
    return shape and one_line and 400 <= answer.status_code < 500


def test_no_body_whatsoever_breaks_the_service() -> None:
    with asyncio.Runner() as runner:
        # A window that a request for 2**63 tokens fills in no time.
        quick = {"max_model_len": 400, "inter_token_delay_s": 0.0}
        context = in_process(small=quick, large=quick)
        service = runner.run(context.__aenter__())
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(service.app), base_url="http://x", timeout=30
        )

        @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
        @given(st.sampled_from(PATHS).flatmap(drawn))
        def holds(asked: tuple[str, dict[str, Any]]) -> None:
            path, body = asked
            answer = runner.run(http.post(path, content=orjson.dumps(body), headers=JSON))
            assert is_fine(path, answer), answer.text

        holds()
        assert runner.run(http.post(CHAT, content=chat(), headers=JSON)).status_code == 200
        runner.run(http.aclose())
        runner.run(context.__aexit__(None, None, None))
