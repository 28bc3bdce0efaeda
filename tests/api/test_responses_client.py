"""`/v1/responses` as OpenAI's own client uses it, JSON and stream."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.api.conftest import Service, Serving

LOOK_UP: Any = {
    "type": "function",
    "name": "look_up",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"id": {"type": "integer"}},
        "required": ["id"],
        "additionalProperties": False,
    },
}
# OpenAI's order of events for one message.
MESSAGE_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


class Verdict(BaseModel):
    valid: bool


async def test_a_whole_response(service: Service) -> None:
    async with service.openai as client:
        raw = await client.responses.with_raw_response.create(
            model="auto", input="Hello", instructions="Be kind.", metadata={"a": "b"}, store=True
        )
    answer = raw.parse()
    assert answer.status == "completed"
    assert answer.output_text.startswith("This is")
    assert answer.model == "sim-small"
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert (answer.model_extra or {})["store"] is False
    assert (answer.instructions, answer.metadata) == ("Be kind.", {"a": "b"})
    assert raw.headers["x-smallfirst-tier"] == "small"
    assert raw.headers["x-smallfirst-cause"] == "classifier"
    said = service.scorer.asked[0]
    assert [m["role"] for m in said] == ["system", "user"]
    assert service.records[0].endpoint == "responses"


async def test_events_come_in_openais_order_and_agree_with_the_whole(service: Service) -> None:
    async with service.openai as client:
        stream = await client.responses.create(
            model="auto", input="Hello", stream=True, extra_body={"seed": 1}
        )
        events = [event async for event in stream]
        whole = await client.responses.create(model="auto", input="Hello", extra_body={"seed": 1})
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == MESSAGE_EVENTS
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    assert text == last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage


async def test_an_answer_that_was_cut_is_incomplete(service: Service) -> None:
    async with service.openai as client:
        whole = await client.responses.create(model="auto", input="Hello", max_output_tokens=3)
        stream = await client.responses.create(
            model="auto", input="Hello", max_output_tokens=3, stream=True
        )
        last = [event async for event in stream][-1]
    assert last.type == "response.incomplete"
    for answer in (whole, last.response):
        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"
        assert answer.output[0].model_dump()["status"] == "incomplete"


@pytest.mark.parametrize("model", ["auto", "small", "large"])
async def test_a_call_streams_its_arguments(service: Service, model: str) -> None:
    async with service.openai as client:
        async with client.responses.stream(
            model=model, input="Hello", tools=[LOOK_UP], tool_choice="required"
        ) as stream:
            kinds = list(dict.fromkeys([event.type async for event in stream]))
            answer = await stream.get_final_response()
        whole = await client.responses.create(
            model=model, input="Hello", tools=[LOOK_UP],
            tool_choice={"type": "function", "name": "look_up"},
        )  # fmt: skip
    assert kinds[2:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    for (call,) in (answer.output, whole.output):
        assert call.type == "function_call"
        assert (call.name, call.status) == ("look_up", "completed")
        assert isinstance(json.loads(call.arguments)["id"], int)
        assert call.call_id


async def test_a_custom_tool_is_called_with_plain_text(service: Service) -> None:
    tool: Any = {"type": "custom", "name": "run", "description": "Runs it."}
    async with service.openai as client:
        whole = await client.responses.create(
            model="auto", input="Hello", tools=[tool], tool_choice="required"
        )
        stream = await client.responses.create(
            model="auto", input="Hello", tools=[tool], tool_choice="required", stream=True
        )
        events = [event async for event in stream]
    (call,) = whole.output
    assert call.type == "custom_tool_call"
    assert call.input == "simulated"
    done = next(e for e in events if e.type == "response.custom_tool_call_input.done")
    said = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    assert "".join(said) == done.input == "simulated"
    assert done.item_id == next(e.item.id for e in events if e.type == "response.output_item.done")


async def test_a_schema_binds_the_answer(service: Service) -> None:
    async with service.openai as client:
        answer = await client.responses.parse(model="auto", input="Hello", text_format=Verdict)
    assert isinstance(answer.output_parsed, Verdict)


async def test_logprobs_come_where_they_are_included(service: Service) -> None:
    async with service.openai as client:
        answer = await client.responses.create(
            model="auto", input="Hello", top_logprobs=2, max_output_tokens=4,
            include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        )  # fmt: skip
    message = answer.output[0]
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    logprobs = message.content[0].logprobs or []
    assert "".join(token.token for token in logprobs) == answer.output_text
    assert len(logprobs[0].top_logprobs) == 2


async def test_an_error_names_the_clients_own_parameter(service: Service) -> None:
    picture: Any = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"input": [{"role": "user", "content": [picture]}]}, "input"),
        ({"text": {"format": {"type": "json_schema", "name": "x y", "schema": {}}}}, "text.format"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ]
    async with service.openai as client:
        for fields, param in cases:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.responses.create(**{"model": "auto", "input": "Hello", **fields})
            assert caught.value.param == param
            assert f"'{param}" in caught.value.message
            assert "max_completion_tokens" not in caught.value.message
    assert service.asked() == []


async def test_an_unknown_model_is_openais_error(service: Service) -> None:
    async with service.openai as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.create(model="gpt-9", input="Hello")
    assert caught.value.code == "model_not_found"


async def test_an_answer_that_breaks_off_raises_in_the_client(serving: Serving) -> None:
    cut = {"faults": [{"fault": "cut"}], "mean_completion_tokens": 50}
    async with serving(small=cut) as service, service.openai as client, service.http as http:
        stream = await client.responses.create(model="small", input="Hello", stream=True)
        with pytest.raises(openai.APIError, match="cut"):
            async for _ in stream:
                pass
        body = {"model": "small", "input": "Hello", "stream": True}
        events = (await http.post("/v1/responses", json=body)).text.strip().split("\n\n")
    named = [event.partition("\n")[0] for event in events]
    assert named[-2:] == ["event: error", "event: response.failed"]
    failed = json.loads(events[-1].partition("data: ")[2])["response"]
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "server_error", "message": "The simulated answer was cut."}
    assert failed["output"][0]["status"] == "incomplete"


async def test_a_hard_request_and_a_failed_tier_go_on_as_a_chat_does(serving: Serving) -> None:
    async with serving(score=0.9) as service, service.openai as client:
        hard = await client.responses.with_raw_response.create(model="auto", input="Prove it.")
    assert hard.headers["x-smallfirst-tier"] == "large"
    refusing = {"faults": [{"fault": "refuse_503"}]}
    async with serving(small=refusing) as service, service.openai as client:
        stream = await client.responses.with_raw_response.create(
            model="auto", input="Hello", stream=True
        )
        events = [event async for event in stream.parse()]
    assert stream.headers["x-smallfirst-cause"] == "small_unavailable"
    assert events[0].type == "response.created"
    assert events[0].response.model == "sim-large"
