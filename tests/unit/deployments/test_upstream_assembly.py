"""A document that is put together from events says all that they said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import EngineFailure
from deployments.upstream.assembly import Assembly
from deployments.upstream.stream import MAX_ANSWER_BYTES, UpstreamStream

HEAD = {
    "id": "c-1",
    "object": "chat.completion.chunk",
    "created": 7,
    "model": "big-1",
    "system_fingerprint": "fp_1",
}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def assembled(*chunks: dict[str, Any]) -> dict[str, Any]:
    assembly = Assembly()
    for chunk in chunks:
        assembly.add(chunk)
    document: dict[str, Any] = json.loads(assembly.document(USAGE))
    return document


def said(*deltas: dict[str, Any], **last: Any) -> dict[str, Any]:
    """The message of an answer in these deltas."""
    chunks = [HEAD | {"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"} | last
    choice: dict[str, Any] = assembled(*chunks, HEAD | {"choices": [end]})["choices"][0]
    return choice


def test_document_is_openais() -> None:
    first = {"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}}
    whole = assembled(
        HEAD | {"choices": [first], "usage": None},
        HEAD | {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]},
        HEAD | {"choices": [{"index": 0, "delta": {"content": "lo"}}], "service_tier": "flex"},
        HEAD | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        HEAD | {"choices": [], "usage": {"prompt_tokens": 9}},
    )
    assert whole == HEAD | {
        "object": "chat.completion",
        "service_tier": "flex",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
    assert ChatCompletion.model_validate(whole).choices[0].message.content == "Hello"


def test_completion_is_openais() -> None:
    head = HEAD | {"object": "text_completion"}
    ends = {
        "tokens": ["lo"],
        "token_logprobs": [-2.0],
        "top_logprobs": [{"a": -1.0}],
        "text_offset": [3],
    }
    begins = ends | {"tokens": ["Hel"], "token_logprobs": [-1.0], "text_offset": [0]}
    whole = assembled(
        head | {"choices": [{"index": 0, "text": "Hel", "logprobs": begins}]},
        head
        | {"choices": [{"index": 0, "text": "lo", "logprobs": ends, "finish_reason": "length"}]},
    )
    answer = Completion.model_validate(whole)
    assert (answer.object, answer.choices[0].text) == ("text_completion", "Hello")
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.token_logprobs) == (["Hel", "lo"], [-1.0, -2.0])
    assert logprobs.text_offset == [0, 3]


def test_tool_calls_are_merged_by_their_number_and_lose_it() -> None:
    def call(number: int, **fields: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": number, **fields}]}

    message = said(
        {"role": "assistant", "content": None},
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(0, function={"arguments": '{"x":'}),
        call(1, id="b", type="function", function={"name": "g", "arguments": "{}"}),
        call(0, id="a", type="function", function={"name": "f", "arguments": "1}"}),
        call(1, id="", function={"name": None, "arguments": None}),
        finish_reason="tool_calls",
    )["message"]
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_two_tool_calls_in_one_event_are_two() -> None:
    calls = [
        {"index": n, "id": str(n), "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for n in range(2)
    ]
    assert len(said({"tool_calls": calls})["message"]["tool_calls"]) == 2


@pytest.mark.parametrize("field", ["refusal", "reasoning", "reasoning_content", "tomorrows"])
def test_every_text_is_joined(field: str) -> None:
    message = said({field: "I "}, {field: None}, {field: "cannot"})["message"]
    assert message[field] == "I cannot"
    assert message["content"] is None


def test_log_probabilities_are_joined() -> None:
    def token(text: str) -> dict[str, Any]:
        entry = {"token": text, "logprob": -0.5, "bytes": [1], "top_logprobs": []}
        choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": [entry]}}
        return HEAD | {"choices": [choice]}

    whole = assembled(token("a"), token("b"))
    kept = ChatCompletion.model_validate(
        whole | {"choices": [whole["choices"][0] | {"finish_reason": "stop"}]}
    ).choices[0]
    assert kept.logprobs is not None
    assert [entry.token for entry in kept.logprobs.content or ()] == ["a", "b"]


def test_choices_come_in_order_whatever_order_they_came_in() -> None:
    chunks = [
        HEAD | {"choices": [{"index": n, "delta": {"content": text}}]}
        for n, text in ((1, "b"), (0, "a"), (1, "d"), (0, "c"))
    ]
    choices = assembled(*chunks)["choices"]
    assert [(c["index"], c["message"]["content"]) for c in choices] == [(0, "ac"), (1, "bd")]


def test_numbers_lists_and_objects_of_unknown_fields_are_kept() -> None:
    choice = said(
        {"token_ids": [1, 2], "extra": {"a": {"b": "x"}, "n": 1}},
        {"token_ids": [3], "extra": {"a": {"b": "y"}, "n": 2, "c": True}},
        stop_reason=128001,
    )
    assert choice["message"]["token_ids"] == [1, 2, 3]
    assert choice["message"]["extra"] == {"a": {"b": "xy"}, "n": 2, "c": True}
    assert choice["stop_reason"] == 128001


@given(
    pieces=st.lists(st.tuples(st.integers(0, 2), st.text(max_size=5)), max_size=30),
)
def test_nothing_is_lost_or_moved(pieces: list[tuple[int, str]]) -> None:
    chunks = [HEAD | {"choices": [{"index": 0, "delta": {"content": ""}}]}]
    chunks += [HEAD | {"choices": [{"index": n, "delta": {"content": t}}]} for n, t in pieces]
    texts = {c["index"]: c["message"]["content"] for c in assembled(*chunks)["choices"]}
    for number in texts:
        assert texts[number] == "".join(text for n, text in pieces if n == number)


def test_answer_without_an_end_is_given_up_at_its_limit() -> None:
    stream = UpstreamStream(EngineRequest("chat", {"messages": []}, "r1"))
    event = json.dumps(HEAD | {"choices": [{"index": 0, "delta": {"content": "x" * 2**22}}]})
    with pytest.raises(EngineFailure, match="too large"):
        for _ in range(MAX_ANSWER_BYTES // 2**22 + 1):
            stream.feed(b"data: " + event.encode() + b"\n\n")


def test_event_nested_without_end_is_a_failure() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"a": deep}
    with pytest.raises(EngineFailure):
        assembled(HEAD | {"choices": [{"index": 0, "delta": deep}]})
