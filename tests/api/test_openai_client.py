"""The official `openai` client finds here what it finds at OpenAI."""

import json
from typing import Any

import openai
import pytest

from tests.api.conftest import Service, Serving

HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "integer"}},
            "required": ["id"],
        },
    },
}
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"valid": {"type": "boolean"}},
            "required": ["valid"],
            "additionalProperties": False,
        },
    },
}


async def test_a_chat_is_answered_with_text_and_usage(service: Service) -> None:
    async with service.openai as client:
        answer = await client.chat.completions.create(model="auto", messages=HELLO, max_tokens=7)
    assert answer.model == "sim-small"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert service.records[0].usage.completion_tokens == 7


async def test_a_stream_says_what_the_document_says(service: Service) -> None:
    async with service.openai as client:
        whole = await client.chat.completions.create(model="auto", messages=HELLO, max_tokens=7)
        stream = await client.chat.completions.create(
            model="auto", messages=HELLO, max_tokens=7, stream=True
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "length"
    assert all(chunk.usage is None for chunk in chunks)
    assert service.records[1].usage == service.records[0].usage
    assert service.records[1].ttft_s is not None


async def test_a_stream_ends_with_usage_where_the_client_asks_for_it(service: Service) -> None:
    async with service.openai as client:
        stream = await client.chat.completions.create(
            model="auto",
            messages=HELLO,
            max_tokens=7,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


async def test_a_completion_is_answered_both_ways(service: Service) -> None:
    async with service.openai as client:
        whole = await client.completions.create(model="auto", prompt="Hello", max_tokens=5)
        stream = await client.completions.create(
            model="auto", prompt="Hello", max_tokens=5, stream=True
        )
        text = "".join([chunk.choices[0].text async for chunk in stream])
    assert text == whole.choices[0].text != ""


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_carries_arguments_of_the_tools_schema(
    service: Service, stream: bool
) -> None:
    asked: Any = {"model": "auto", "messages": HELLO, "tools": [TOOL], "tool_choice": "required"}
    async with service.openai as client:
        if stream:
            chunks = [c async for c in await client.chat.completions.create(**asked, stream=True)]
            calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
            arguments = "".join(call.function.arguments or "" for call in calls)
            name = calls[0].function.name
        else:
            answer = await client.chat.completions.create(**asked)
            called = answer.choices[0].message.tool_calls[0].function
            name, arguments = called.name, called.arguments
    assert name == "look_up"
    assert isinstance(json.loads(arguments)["id"], int)


async def test_a_schema_binds_the_answer(service: Service) -> None:
    async with service.openai as client:
        answer = await client.chat.completions.create(
            model="auto", messages=HELLO, response_format=SCHEMA
        )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["valid"], bool)


async def test_logprobs_choices_and_stops_reach_the_engine(service: Service) -> None:
    async with service.openai as client:
        answer = await client.chat.completions.create(
            model="auto",
            messages=HELLO,
            n=3,
            logprobs=True,
            top_logprobs=2,
            max_tokens=6,
            stop=[" answer:"],
            seed=7,
        )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        assert " answer:" not in (choice.message.content or "")
        assert choice.logprobs is not None
        assert choice.logprobs.content
        assert len(choice.logprobs.content[0].top_logprobs) == 2
    sent = service.handles["small"].requests[0].body
    assert (sent["seed"], sent["n"], sent["stop"]) == (7, 3, [" answer:"])


async def test_models_are_listed_with_what_stands_behind_them(serving: Serving) -> None:
    async with serving(large_tier={"stand_in": True}) as service, service.openai as client:
        listed = {model.id: model async for model in client.models.list()}
        one = await client.models.retrieve("sim-large")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("absent")
    assert list(listed) == ["auto", "small", "sim-small", "large", "sim-large"]
    about = listed["sim-large"].model_extra or {}
    assert (about["tier"], about["stand_in"], about["remote"]) == ("large", True, False)
    assert about["max_model_len"] == 200_000
    assert one.id == "sim-large"
    assert caught.value.code == "model_not_found"


async def test_a_model_whose_name_has_a_slash_can_be_looked_up(serving: Serving) -> None:
    async with serving(large_tier={"model": "org/big"}) as service, service.http as http:
        assert (await http.get("/v1/models/org/big")).json()["id"] == "org/big"
        assert (await http.get("/v1/models/org%2Fbig")).json()["id"] == "org/big"


@pytest.mark.parametrize(
    ("model", "tier"),
    [("small", "small"), ("large", "large"), ("sim-small", "small"), ("sim-large", "large")],
)
async def test_a_named_model_answers_unscored(service: Service, model: str, tier: str) -> None:
    async with service.openai as client:
        raw = await client.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    assert raw.headers["x-smallfirst-tier"] == tier
    assert raw.headers["x-smallfirst-cause"] == "client_model"
    assert raw.headers["x-smallfirst-score"] == ""
    assert service.scorer.asked == []


async def test_an_unknown_model_is_openais_error(service: Service) -> None:
    async with service.openai as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert service.asked() == []
