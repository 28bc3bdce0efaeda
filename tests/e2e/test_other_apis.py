"""Responses, Messages and token counts from real vLLM: what a simulated engine cannot show."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.endpoint import Endpoint

# Minutes of real answers: not in `make test`. `pytest -m live tests/e2e/test_other_apis.py`
pytestmark = [pytest.mark.timeout(400), pytest.mark.live]
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
HELLO: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def theirs(endpoint: Endpoint) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client."""
    with anthropic.Anthropic(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        yield client


def test_a_loop_through_responses(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "name": "look_up", "parameters": SCHEMA}
    asked: list[Any] = list(HELLO)
    first = client.responses.create(
        model="small", instructions="Be brief.", input=asked, tools=[tool], tool_choice="required",
        max_output_tokens=100,
    )  # fmt: skip
    call = first.output[-1]
    assert call.type == "function_call"
    thought = {"type": "reasoning_text", "text": "Look it up."}
    asked += [
        {"type": "reasoning", "summary": [], "content": [thought]},
        call.model_dump(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "Paris"},
    ]
    with client.responses.stream(
        model="small", input=asked, tools=[tool], tool_choice="none", max_output_tokens=40
    ) as s:
        text = "".join(e.delta for e in s if e.type == "response.output_text.delta")
        answer = s.get_final_response()
    assert answer.output_text == text
    assert answer.usage is not None
    assert answer.usage.input_tokens > first.usage.input_tokens > 0  # type: ignore[union-attr]


def test_a_loop_through_messages(theirs: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "look_up", "input_schema": SCHEMA}]
    first = theirs.messages.create(
        model="small", max_tokens=100, messages=HELLO, tools=tools, tool_choice={"type": "any"}
    )
    used = first.content[-1]
    assert used.type == "tool_use"
    assert first.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "Paris", "is_error": False}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    call = used.model_dump(include={"type", "id", "name", "input"})
    turns: Any = [
        *HELLO,
        {"role": "assistant", "content": [thought, call]},
        {"role": "user", "content": [result]},
    ]
    with theirs.messages.stream(model="small", max_tokens=20, messages=turns, tools=tools) as s:
        answer = s.get_final_message()
    assert answer.usage.output_tokens > 0
    assert answer.stop_reason in ("end_turn", "max_tokens")


def test_an_answer_begun_for_the_model_is_continued(theirs: anthropic.Anthropic) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "The capital of France is"}]
    answer = theirs.messages.create(
        model="auto", max_tokens=8, messages=begun, extra_body={"temperature": 0}
    )
    assert answer.content[0].type == "text"
    assert "Paris" in answer.content[0].text


def test_a_stop_sequence_is_named(theirs: anthropic.Anthropic) -> None:
    answer = theirs.messages.create(
        model="small", max_tokens=60, messages=HELLO, stop_sequences=["a", "e"]
    )
    assert answer.stop_reason == "stop_sequence"
    assert answer.stop_sequence in ("a", "e")


def test_tokens_are_counted_as_an_answer_counts_them(
    theirs: anthropic.Anthropic, endpoint: Endpoint
) -> None:
    counted = theirs.messages.count_tokens(model="small", messages=HELLO, system="Be brief.")
    answer = theirs.messages.create(model="small", max_tokens=2, messages=HELLO, system="Be brief.")
    assert counted.input_tokens == answer.usage.input_tokens + (
        answer.usage.cache_read_input_tokens or 0
    )
    ids = httpx.post(f"{endpoint.url}/tokenize", json={"prompt": "Hello there"}, timeout=60).json()
    text = httpx.post(
        f"{endpoint.url}/detokenize", json={"tokens": ids["tokens"]}, timeout=60
    ).json()
    assert text["prompt"] == "Hello there"
    assert ids["count"] == len(ids["tokens"])
