"""Whatever is sent, the answer is OpenAI's envelope, never a 500, and the next request works."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Service, in_process

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "Hello"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(**fields: Any) -> bytes:
    return orjson.dumps({"model": "auto", "messages": [USER], "max_tokens": 2, **fields})


# body -> status, OpenAI's code
BAD = {
    "no body": (b"", 400, "invalid_request"),
    "malformed JSON": (b'{"model": "auto",', 400, "invalid_request"),
    "a list": (b"[1]", 400, "invalid_request"),
    "invalid UTF-8": (chat().replace(b"Hello", b"\xc3\x28"), 400, "invalid_request"),
    "half a surrogate": (chat().replace(b"Hello", b"\\ud800"), 400, "invalid_request"),
    "no messages": (chat(messages=[]), 400, "invalid_request"),
    "messages a word": (chat(messages="Hi"), 400, "invalid_request"),
    "an image": (chat(messages=[{"role": "user", "content": [IMAGE]}]), 400, "invalid_request"),
    "negative temperature": (chat(temperature=-1), 400, "invalid_request"),
    "max_tokens 0": (chat(max_tokens=0), 400, "invalid_request"),
    "n 0": (chat(n=0), 400, "invalid_request"),
    "wrong type": (chat(stream="yes"), 400, "invalid_request"),
    "unknown model": (chat(model="gpt-9"), 404, "model_not_found"),
    "beyond the context": (chat(max_tokens=10**6), 400, "context_length_exceeded"),
    "10,000 messages beyond the context": (
        chat(messages=[{"role": "user", "content": "x" * 100}] * 10_000), 400,
        "context_length_exceeded",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code"), BAD.values(), ids=BAD)
async def test_a_bad_request_gets_a_clear_error_and_the_next_one_works(
    service: Service, body: bytes, status: int, code: str
) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, content=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert error["type"] == "invalid_request_error"
        assert "Traceback" not in answer.text
        assert "x-smallfirst-request-id" in answer.headers
        assert (await http.post(CHAT, content=chat())).status_code == 200


async def test_ten_thousand_messages_that_fit_are_answered(service: Service) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, content=chat(messages=[USER] * 10_000))
    assert answer.status_code == 200


async def test_unknown_fields_are_ignored_as_openai_does(service: Service) -> None:
    async with service.http as http:
        assert (await http.post(CHAT, content=chat(wibble={"a": [1]}))).status_code == 200
    assert "wibble" not in service.handles["small"].requests[0].body


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**64 - 1)
    | st.floats()
    | st.text("a 0é", max_size=3),
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
NAMES = ["model", "messages", "prompt", "stream", "stream_options", "temperature", "top_p", "n"]
NAMES += ["stop", "seed", "max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "tools"]
NAMES += ["tool_choice", "response_format", "user", "metadata", "top_logprobs", "wibble"]
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=4).map(
    lambda fields: {"model": "auto", "messages": [USER], "prompt": "Hi", "max_tokens": 2, **fields}
)


def is_fine(answer: httpx.Response) -> bool:
    """An answer, or OpenAI's envelope with a status that blames the request."""
    if answer.status_code == 200:
        return True
    envelope = set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return envelope and 400 <= answer.status_code < 500


def test_no_body_whatsoever_breaks_the_service() -> None:
    with asyncio.Runner() as runner:
        context = in_process()
        service = runner.run(context.__aenter__())
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(service.app), base_url="http://x", timeout=30
        )

        @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
        @given(st.sampled_from([CHAT, "/v1/completions", "/v1/route"]), bodies)
        def holds(path: str, body: dict[str, Any]) -> None:
            answer = runner.run(http.post(path, content=orjson.dumps(body)))
            assert is_fine(answer), answer.text

        holds()
        assert runner.run(http.post(CHAT, content=chat())).status_code == 200
        runner.run(http.aclose())
        runner.run(context.__aexit__(None, None, None))
