"""The simulated server speaks OpenAI's HTTP, and breaks in the way it was told."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import openai
import pytest

from deployments.settings.simulated import FaultRule, SimulatedEngineConfig
from deployments.simulated.server import SimulatedServer, SimulatedServerConfig

FAST = SimulatedEngineConfig(
    first_token_delay_s=0.001, inter_token_delay_s=0.001, allow_drills=True
)


Serving = Callable[
    [SimulatedServerConfig], AbstractAsyncContextManager[tuple[SimulatedServer, str]]
]


def body(**fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "Hello"}
    return {"model": "simulated", "messages": [message], "max_tokens": 8} | fields


LONG = {"messages": [{"role": "user", "content": "x" * 4 * 9999}]}


async def test_official_client_gets_its_answer_in_both_forms(serving: Serving) -> None:
    async with serving(SimulatedServerConfig(engine=FAST, api_key="right")) as (_, url):
        client = openai.AsyncOpenAI(base_url=url, api_key="right")
        ask = {"model": "simulated", "messages": [{"role": "user", "content": "Hi"}]}
        whole = await client.chat.completions.create(**ask, max_tokens=8)  # type: ignore[call-overload]  # a dict of literals
        stream = await client.chat.completions.create(**ask, max_tokens=8, stream=True)  # type: ignore[call-overload]  # a dict of literals
        text = "".join([c.choices[0].delta.content or "" async for c in stream])
        assert text == whole.choices[0].message.content
        assert [model.id async for model in client.models.list()] == ["simulated"]
        await client.close()


@pytest.mark.parametrize(
    ("fields", "key", "status", "code"),
    [
        pytest.param({}, "wrong", 401, "invalid_api_key", id="key"),
        pytest.param({"model": "other"}, "right", 404, "model_not_found", id="model"),
        pytest.param({"max_tokens": 0}, "right", 400, "invalid_request", id="bad body"),
        pytest.param(LONG, "right", 400, "context_length_exceeded", id="too long"),
        pytest.param({"user": "drill:refuse_429"}, "right", 429, "overloaded", id="refusal"),
        pytest.param({"user": "drill:refuse_503"}, "right", 503, "tier_unavailable", id="down"),
    ],
)
async def test_errors_are_openais(
    serving: Serving, fields: dict[str, Any], key: str, status: int, code: str
) -> None:
    async with (
        serving(SimulatedServerConfig(engine=FAST, api_key="right")) as (_, url),
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}) as client,
    ):
        for stream in (False, True):
            answer = await client.post("/chat/completions", json=body(stream=stream, **fields))
            assert answer.status_code == status
            assert answer.json()["error"]["code"] == code
            assert ("retry-after" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    ("drill", "patience_s", "caught"),
    [
        ("drop", 20.0, (httpx.RemoteProtocolError, httpx.ReadError)),
        ("cut", 20.0, httpx.RemoteProtocolError),
        ("slow_headers", 0.3, httpx.ReadTimeout),
        ("stall", 0.3, httpx.ReadTimeout),
    ],
)
async def test_connection_faults_break_the_connection(
    serving: Serving, drill: str, patience_s: float, caught: type[Exception]
) -> None:
    async with (
        serving(SimulatedServerConfig(engine=FAST, slow_headers_s=0.6)) as (_, url),
        httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(20.0, read=patience_s)) as client,
    ):
        with pytest.raises(caught):
            await client.post("/chat/completions", json=body(stream=True, user=f"drill:{drill}"))


@pytest.mark.parametrize("drill", ["no_done", "malformed", "http_500"])
async def test_content_faults_break_the_content(serving: Serving, drill: str) -> None:
    async with (
        serving(SimulatedServerConfig(engine=FAST)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        answer = await client.post(
            "/chat/completions", json=body(stream=True, user=f"drill:{drill}")
        )
        events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        if drill == "http_500":
            assert answer.status_code == 500
            assert "<html>" in answer.text
        elif drill == "no_done":
            assert "[DONE]" not in answer.text
            assert [json.loads(event)["object"] for event in events]
        else:
            with pytest.raises(json.JSONDecodeError):
                [json.loads(event) for event in events if event != "[DONE]"]


async def test_fault_for_every_request_needs_no_drill(serving: Serving) -> None:
    engine = FAST.model_copy(update={"faults": (FaultRule(fault="refuse_503", after_requests=1),)})
    async with (
        serving(SimulatedServerConfig(engine=engine)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        answers = [await client.post("/chat/completions", json=body()) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 503]
    async with (
        serving(SimulatedServerConfig(engine=FAST, http_fault="http_500")) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        assert (await client.post("/chat/completions", json=body())).status_code == 500


@pytest.mark.parametrize("slow_s", [60.0, 0.01], ids=["before the first token", "mid-stream"])
async def test_client_that_leaves_frees_its_place(serving: Serving, slow_s: float) -> None:
    engine = FAST.model_copy(update={"first_token_delay_s": slow_s, "inter_token_delay_s": 0.01})
    async with serving(SimulatedServerConfig(engine=engine)) as (simulated, url):
        async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(20.0, read=0.3)) as client:
            with contextlib.suppress(httpx.ReadTimeout):
                ask = client.stream(
                    "POST", "/chat/completions", json=body(max_tokens=2000, stream=True)
                )
                async with ask as answer:
                    await anext(answer.aiter_bytes())
        for _ in range(500):
            if simulated.engine.load().running == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the request still runs")
