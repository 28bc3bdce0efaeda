"""A chat's deltas become parts, one after the other, whatever order a server sends them in."""

from typing import Any

import orjson
import pytest

from deployments.protocol.answer_parts import AnswerParts
from deployments.protocol.errors import EngineFailure


def events(*deltas: dict[str, Any]) -> bytes:
    """Chat events with these deltas."""
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)


def call(index: int | None, arguments: str, **first: str) -> dict[str, Any]:
    """A delta of a tool call; the first of a call has its `id` and `name`."""
    function = {"arguments": arguments} | ({"name": first["name"]} if first else {})
    told: dict[str, Any] = {"function": function} | ({"id": first["id"]} if first else {})
    return {"tool_calls": [told if index is None else {"index": index, **told}]}


def steps(*deltas: dict[str, Any]) -> list[str]:
    """The steps of a whole answer, each delta read on its own."""
    answer = AnswerParts()
    told = [step for delta in deltas for step in answer.events(events(delta))]
    told += answer.end()
    return [f"{step.what} {step.part.kind}{step.part.index} {step.text}".strip() for step in told]


A, B = {"id": "a", "name": "f"}, {"id": "b", "name": "g"}


def test_text_is_one_part() -> None:
    assert steps({"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": "!"}) == [
        "open text0", "more text0 Hi", "more text0 !", "close text0",
    ]  # fmt: skip


def test_reasoning_text_and_calls_follow_each_other() -> None:
    told = steps({"reasoning": "Hm."}, {"content": "Yes."}, call(0, "", **A), call(0, "{}"))
    assert told == [
        "open reasoning0", "more reasoning0 Hm.", "close reasoning0",
        "open text1", "more text1 Yes.", "close text1",
        "open call2", "more call2 {}", "close call2",
    ]  # fmt: skip


def test_reasoning_under_both_names_is_said_once() -> None:
    assert steps({"reasoning": "Hm.", "reasoning_content": "Hm."})[1:2] == ["more reasoning0 Hm."]


def test_calls_that_come_by_turns_are_told_one_after_the_other() -> None:
    told = steps(
        call(0, '{"a"', **A), call(1, '{"b"', **B), call(0, ":1}"), call(1, ":2}"), {"content": "."}
    )
    assert told == [
        "open call0", 'more call0 {"a"', "more call0 :1}", "close call0",
        "open call1", 'more call1 {"b"', "more call1 :2}", "close call1",
        "open text2", "more text2 .", "close text2",
    ]  # fmt: skip


def test_what_waits_behind_a_call_that_never_ends_is_told_at_the_end() -> None:
    told = steps(call(0, '{"a', **A), call(1, "{}", **B), {"content": "late"})
    assert told == [
        "open call0", 'more call0 {"a', "close call0",
        "open call1", "more call1 {}", "close call1",
        "open text2", "more text2 late", "close text2",
    ]  # fmt: skip


def test_calls_without_an_index_are_told_apart_by_their_place() -> None:
    answer = AnswerParts()
    both = [call(None, "{}", **A)["tool_calls"][0], call(None, "{}", **B)["tool_calls"][0]]
    list(answer.events(events({"tool_calls": both})))
    assert [(part.name, part.call_id) for part in answer.parts] == [("f", "a"), ("g", "b")]


def test_a_document_has_the_same_parts_as_its_events() -> None:
    answer = AnswerParts()
    message = {"content": "Yes.", "reasoning": "Hm.", **call(None, "{}", **A), "refusal": None}
    choice = {"message": message, "finish_reason": "stop", "stop_reason": "###"}
    answer.document(
        orjson.dumps({"model": "m", "choices": [choice], "usage": {"prompt_tokens": 3}})
    )
    assert [part.kind for part in answer.parts] == ["reasoning", "text", "call"]
    assert (answer.model, answer.finish_reason, answer.stop) == ("m", "stop", "###")
    assert answer.usage == {"prompt_tokens": 3}


@pytest.mark.parametrize(
    "broken", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"choices": [1]}\n\n']
)
def test_what_is_no_chat_is_the_engines_failure(broken: bytes) -> None:
    with pytest.raises(EngineFailure):
        list(AnswerParts().events(broken))
