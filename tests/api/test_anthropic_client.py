"""`/v1/messages` as Anthropic's own client uses it, JSON and stream."""

import json
from typing import Any

import anthropic
import pytest

from tests.api.conftest import Service, Serving

HELLO: Any = [{"role": "user", "content": "Hello"}]
LOOK_UP: Any = {
    "name": "look_up",
    "description": "Looks it up.",
    "input_schema": {
        "type": "object",
        "properties": {"id": {"type": "integer"}},
        "required": ["id"],
        "additionalProperties": False,
    },
}


def client_of(service: Service, **options: Any) -> anthropic.AsyncAnthropic:
    """The official client."""
    given = {"api_key": "none", "max_retries": 0, **options}
    return anthropic.AsyncAnthropic(base_url=service.url, **given)


async def test_a_whole_message(service: Service) -> None:
    async with client_of(service) as client:
        raw = await client.messages.with_raw_response.create(
            model="auto",
            max_tokens=50,
            messages=HELLO,
            system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        )
    message = await raw.parse()
    assert (message.type, message.role, message.model) == ("message", "assistant", "sim-small")
    assert message.content[0].type == "text"
    assert message.content[0].text.startswith("This is")
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 50
    assert message.usage.input_tokens > 0
    assert raw.headers["x-smallfirst-cause"] == "classifier"
    assert [m["role"] for m in service.scorer.asked[0]] == ["system", "user"]
    record = service.records[0]
    assert (record.endpoint, record.usage.completion_tokens) == ("messages", 50)


async def test_events_come_in_anthropics_order_and_agree_with_the_whole(service: Service) -> None:
    asked: Any = {"model": "auto", "max_tokens": 20, "messages": HELLO}
    async with client_of(service) as client:
        stream = await client.messages.create(**asked, stream=True)
        events = [event async for event in stream]
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as streamed:
            gathered = await streamed.get_final_message()
    assert list(dict.fromkeys(event.type for event in events)) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    first = events[0]
    assert first.type == "message_start"
    assert (first.message.content, first.message.usage.output_tokens) == ([], 0)
    assert first.message.usage.input_tokens == whole.usage.input_tokens
    assert gathered.content[0].type == whole.content[0].type == "text"
    assert gathered.content[0].text == whole.content[0].text
    assert gathered.stop_reason == whole.stop_reason == "max_tokens"
    assert gathered.usage.output_tokens == whole.usage.output_tokens == 20


@pytest.mark.parametrize("model", ["auto", "small", "large"])
async def test_a_tool_is_used(service: Service, model: str) -> None:
    asked: Any = {"model": model, "max_tokens": 500, "messages": HELLO, "tools": [LOOK_UP]}
    async with client_of(service) as client:
        whole = await client.messages.create(**asked, tool_choice={"type": "any"})
        async with client.messages.stream(
            **asked, tool_choice={"type": "tool", "name": "look_up"}
        ) as streamed:
            kinds = [event.type async for event in streamed]
            gathered = await streamed.get_final_message()
    assert "input_json" in kinds
    for message in (whole, gathered):
        assert message.stop_reason == "tool_use"
        used: Any
        (used,) = message.content
        assert used.type == "tool_use"
        assert used.name == "look_up"
        assert isinstance(used.input["id"], int)
        assert used.id


async def test_a_stop_sequence_is_named(service: Service) -> None:
    async with client_of(service) as client:
        message = await client.messages.create(
            model="auto", max_tokens=50, messages=HELLO, stop_sequences=[" simulated"]
        )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " simulated")
    assert message.content[0].type == "text"
    assert " simulated" not in message.content[0].text


async def test_a_format_binds_the_answer(service: Service) -> None:
    schema: Any = {"type": "object", "properties": {"valid": {"type": "boolean"}}}
    async with client_of(service) as client:
        message = await client.messages.create(
            model="auto",
            max_tokens=500,
            messages=HELLO,
            output_config={"format": {"type": "json_schema", "schema": schema}},
        )
    assert message.content[0].type == "text"
    assert isinstance(json.loads(message.content[0].text)["valid"], bool)


async def test_both_headers_carry_the_key(serving: Serving) -> None:
    async with serving(keys=frozenset({"sk-1"})) as service:
        for options in ({"api_key": "sk-1"}, {"api_key": None, "auth_token": "sk-1"}):
            async with client_of(service, **options) as client:
                await client.messages.create(model="auto", max_tokens=5, messages=HELLO)
        async with client_of(service, api_key="wrong") as client:
            with pytest.raises(anthropic.AuthenticationError) as caught:
                await client.messages.create(model="auto", max_tokens=5, messages=HELLO)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "authentication_error"


async def test_errors_have_anthropics_shape_and_the_clients_own_words(service: Service) -> None:
    picture: Any = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({"max_tokens": 0}, "'max_tokens'"),
        ({"stop_sequences": ["x"] * 9}, "'stop_sequences'"),
        ({"messages": [{"role": "user", "content": [picture]}]}, "'messages'"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "'tools[0].type'"),
        ({"output_config": {"effort": "huge"}}, "'output_config.effort'"),
        ({"container": "c"}, "'container'"),
        ({"input": "Hello"}, "'input'"),
    ]
    async with client_of(service) as client:
        for fields, said in cases:
            with pytest.raises(anthropic.BadRequestError) as caught:
                await client.messages.create(
                    model="auto", max_tokens=5, messages=HELLO, extra_body=fields
                )
            body: Any = caught.value.body
            assert body["error"]["type"] == "invalid_request_error"
            assert said in body["error"]["message"]
        with pytest.raises(anthropic.NotFoundError) as missing:
            await client.messages.create(model="gpt-9", max_tokens=5, messages=HELLO)
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert missing.value.request_id
    assert service.asked() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("POST", "/v1/messages", 415, "invalid_request_error"),
    ],
)
async def test_other_refusals_under_its_path_have_the_shape_too(
    service: Service, method: str, path: str, status: int, kind: str
) -> None:
    async with service.http as http:
        answer = await http.request(method, path, content=b"{}")
    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == kind
    assert answer.headers["x-smallfirst-request-id"]


async def test_an_answer_that_breaks_off_raises_in_the_client(serving: Serving) -> None:
    cut = {"faults": [{"fault": "cut"}], "mean_completion_tokens": 50}
    async with serving(small=cut) as service, client_of(service) as client:
        stream = await client.messages.create(
            model="small", max_tokens=50, messages=HELLO, stream=True
        )
        with pytest.raises(anthropic.APIStatusError, match="cut"):
            async for _ in stream:
                pass


async def test_an_answer_begun_for_the_model_goes_to_what_can_continue_it(
    service: Service,
) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "The answer is"}]
    async with client_of(service) as client:
        with pytest.raises(anthropic.BadRequestError, match="'messages'"):
            await client.messages.create(model="auto", max_tokens=5, messages=begun)
    (sent,) = service.handles["small"].requests
    assert sent.body["continue_final_message"] is True
    assert sent.body["add_generation_prompt"] is False
