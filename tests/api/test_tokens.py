"""Models, tokens and what is not served: what clients ask beside answers."""

from typing import Any

import anthropic
import httpx
import pytest

from tests.api.conftest import Service, Serving

HELLO: Any = [{"role": "user", "content": "Hello there, how are you?"}]
TOOL: Any = {"name": "f", "input_schema": {"type": "object"}}


async def test_anthropics_count_is_what_an_answer_is_billed(service: Service) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=service.url, api_key="none", max_retries=0
    ) as client:
        asked: Any = {"model": "auto", "messages": HELLO, "system": "Be kind.", "tools": [TOOL]}
        counted = await client.messages.count_tokens(**asked)
        answered = await client.messages.create(**asked, max_tokens=5)
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.count_tokens(model="auto", messages=[])
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.count_tokens(model="gpt-9", messages=HELLO)
    assert counted.input_tokens == answered.usage.input_tokens
    assert caught.value.body["type"] == "error"  # type: ignore[index]


async def test_text_and_chats_are_tokenised(service: Service) -> None:
    async with service.http as http:
        text = await http.post("/tokenize", json={"prompt": "Hello there, you", "model": "small"})
        chat = await http.post("/tokenize", json={"messages": HELLO, "return_token_strs": True})
        usage = await http.post("/v1/chat/completions", json={"model": "auto", "messages": HELLO})
    for answer in (text.json(), chat.json()):
        assert answer["count"] == len(answer["tokens"]) > 0
        assert answer["max_model_len"] == 200_000
    assert text.json()["count"] == 4
    assert chat.json()["count"] == usage.json()["usage"]["prompt_tokens"]
    assert len(chat.json()["token_strs"]) == chat.json()["count"]
    assert [handle.purpose for handle in service.handles["small"].requests[:2]] == ["tokenize"] * 2
    assert service.scorer.asked == [HELLO]  # the answer's alone


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"messages": [{"role": "x"}]}, "messages[0].role"),
        ("/tokenize", {"messages": HELLO, "return_token_strs": "yes"}, "return_token_strs"),
        ("/tokenize", {"prompt": "Hi", "messages": HELLO}, "prompt"),
        ("/tokenize", {"messages": HELLO, "chat_template": "{{ x }}"}, "chat_template"),
        ("/tokenize", {"messages": HELLO, "mm_processor_kwargs": {"a": 1}}, "mm_processor_kwargs"),
        ("/detokenize", {"tokens": ["a"]}, "tokens[0]"),
        ("/detokenize", {"tokens": [1]}, "tokens"),  # by the engine, which has no vocabulary
    ],
)
async def test_a_mistake_is_named(
    service: Service, path: str, body: dict[str, Any], param: str
) -> None:
    async with service.http as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_a_model_that_is_elsewhere_has_no_tokenizer_here(serving: Serving) -> None:
    away = {"engine": {"kind": "upstream", "base_url": "http://127.0.0.1:9/v1", "model": "m"}}
    async with serving(large_tier=away) as service, service.http as http:
        answer = await http.post("/tokenize", json={"model": "large", "prompt": "Hi"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"


REMOTE = "http://pics.example/x?q=patient"
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": REMOTE}}
BLOCK_IMAGE = {"type": "image", "source": {"type": "url", "url": REMOTE}}
INLINE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SEES = {"capabilities": ["vision"]}
LOCAL = {"x-smallfirst-local-only": "true"}
COUNTS = [("/tokenize", CHAT_IMAGE), ("/v1/messages/count_tokens", BLOCK_IMAGE)]


def on(service: Service) -> httpx.AsyncClient:
    """A client of a service without a socket."""
    transport = httpx.ASGITransport(service.app)
    return httpx.AsyncClient(transport=transport, base_url="http://x", timeout=30)


def looked_at(part: Any, model: str = "auto") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(("path", "part"), COUNTS)
@pytest.mark.parametrize("model", ["auto", "small", "large"])
@pytest.mark.parametrize("headers", [{}, LOCAL])
async def test_a_count_fetches_no_image_that_an_answer_would_not(
    local: Serving, path: str, part: Any, model: str, headers: dict[str, str]
) -> None:
    async with local(small_tier=SEES, large_tier=SEES) as service, on(service) as http:
        answer = await http.post(path, json=looked_at(part, model), headers=headers)
    assert answer.status_code == 400
    assert "data:" in answer.text and "patient" not in answer.text
    assert service.asked() == []


@pytest.mark.parametrize(
    ("small", "large", "model", "counts"),
    [
        ({}, SEES, "auto", ["large"]),
        (SEES, SEES, "auto", ["small"]),
        ({}, {}, "auto", []),
        ({}, SEES, "small", []),
        ({}, SEES, "large", ["large"]),
    ],
)
async def test_an_image_is_counted_by_a_model_that_sees(
    local: Serving, small: Any, large: Any, model: str, counts: list[str]
) -> None:
    async with local(small_tier=small, large_tier=large) as service, on(service) as http:
        answer = await http.post("/tokenize", json=looked_at(INLINE, model))
    # The simulated engine, where it is asked, has no idea of an image.
    assert service.asked() == counts
    assert counts or answer.json()["error"]["param"] == "messages[0].content[0]"


async def test_tools_are_counted_by_a_model_that_calls_none(local: Serving) -> None:
    plain: Any = {"capabilities": []}
    async with local(small_tier=plain, large_tier=plain) as service, on(service) as http:
        asked = {"messages": HELLO, "tools": [TOOL]}
        answer = await http.post("/v1/messages/count_tokens", json=asked)
    assert answer.status_code == 200


async def test_an_answer_begun_is_counted_as_it_is_asked(local: Serving) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "I am"}]
    async with local() as service, on(service) as http:
        await http.post("/v1/messages/count_tokens", json={"messages": begun})
        await http.post("/v1/messages", json={"messages": begun, "max_tokens": 5})
    counted, asked = (request.body for request in service.handles["small"].requests)
    for name in ("messages", "add_generation_prompt", "continue_final_message"):
        assert counted[name] == asked[name]


async def test_models_say_what_they_can_to_every_client(service: Service) -> None:
    async with service.openai as client:
        listed = {model.id: model.model_extra or {} async for model in client.models.list()}
    assert listed["auto"]["tier"] == "auto"
    assert listed["sim-small"]["context_window"] == 200_000
    assert listed["sim-small"]["capabilities"] == ["json_schema", "logprobs", "tools"]
    async with anthropic.AsyncAnthropic(
        base_url=service.url, api_key="none", max_retries=0
    ) as theirs:
        shown = [model async for model in theirs.models.list()]
        one = await theirs.models.retrieve("small")
    assert [model.id for model in shown] == list(listed)
    assert (one.type, one.display_name) == ("model", "small")
    assert one.created_at.year > 2000


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/embeddings", "docs/embeddings.md"),
        ("/v2/rerank", "docs/embeddings.md"),
        ("/score", "docs/embeddings.md"),
        ("/v1/responses/resp_1", "Nothing is stored"),
        ("/v1/audio/speech", "write text"),
        ("/v1/batches", "batches"),
        ("/v1/nothing", "Unknown request URL"),
    ],
)
async def test_what_is_not_served_says_so(service: Service, path: str, says: str) -> None:
    async with service.http as http:
        answer = await http.post(path, json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"
    assert says in answer.json()["error"]["message"]
