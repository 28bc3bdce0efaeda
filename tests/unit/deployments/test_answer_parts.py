"""A chat's deltas become parts, one after the other, whatever order a server sends them in."""

from typing import Any

import orjson
import pytest

from deployments.protocol.answer_parts import AnswerParts
from deployments.protocol.errors import EngineFailure
from deployments.upstream.assembly import Assembly


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


def piece(**fields: Any) -> dict[str, Any]:
    """A delta of one tool call."""
    name, arguments = fields.pop("name", None), fields.pop("arguments", None)
    return {"tool_calls": [{**fields, "function": {"name": name, "arguments": arguments}}]}


X, Y = '{"x":1}', '{"y":1}'
# The deltas of calls -> the calls: (id, name, arguments).
CALLS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str, str]]]] = {
    "no index": (
        [piece(id="a", name="f", arguments=X), piece(id="b", name="g", arguments=Y)],
        [("a", "f", X), ("b", "g", Y)],
    ),
    "always the first index": (
        [piece(index=0, id="a", name="f", arguments=X),
         piece(index=0, id="b", name="g", arguments=Y)],
        [("a", "f", X), ("b", "g", Y)],
    ),
    "always the first index, in pieces": (
        [piece(index=0, id="a", name="f", arguments=""), piece(index=0, arguments=X),
         piece(index=0, id="b", name="g", arguments=""), piece(index=0, arguments=Y)],
        [("a", "f", X), ("b", "g", Y)],
    ),
    "the first index by turns": (
        [piece(index=0, id="a", name="f", arguments='{"x"'),
         piece(index=0, id="b", name="g", arguments='{"y"'),
         piece(index=0, id="a", arguments=":1}"), piece(index=0, id="b", arguments=":1}")],
        [("a", "f", X), ("b", "g", Y)],
    ),
    "no id in the pieces that follow": (
        [piece(index=0, id="a", name="f", arguments='{"x"'),
         piece(index=0, id="", arguments=":1}")],
        [("a", "f", X)],
    ),
    "everything said again": (
        [piece(index=0, id="a", name="f", arguments='{"x"'),
         piece(index=0, id="a", name="f", arguments=":1}"),
         piece(index=0, id="a", name="f", arguments="")],
        [("a", "f", X)],
    ),
    "a name that comes later": (
        [piece(index=0, id="a", arguments=""), piece(index=0, name="f", arguments=X)],
        [("a", "f", X)],
    ),
    "a name behind the arguments": (
        [piece(index=0, id="a", arguments=X), piece(index=1, id="b", name="g", arguments=Y),
         piece(index=0, name="f")],
        [("a", "f", X), ("b", "g", Y)],
    ),
    "an id that comes later": (
        [piece(index=0, arguments=""), piece(index=0, id="a", name="f", arguments=X)],
        [("a", "f", X)],
    ),
    "arguments that are an object": (
        [piece(index=0, id="a", name="f", arguments={"x": 1})], [("a", "f", X)],
    ),
    "no arguments": ([piece(index=0, id="a", name="f")], [("a", "f", "")]),
}  # fmt: skip


def answered(*deltas: dict[str, Any]) -> tuple[AnswerParts, AnswerParts]:
    """An answer in these deltas as it is streamed, and as it is put together to a document."""
    streamed, whole, assembly = AnswerParts(), AnswerParts(), Assembly()
    for delta in deltas:
        list(streamed.events(events(delta)))
        assembly.add({"choices": [{"index": 0, "delta": delta}]})
    list(streamed.end())
    whole.document(assembly.document({}))
    return streamed, whole


@pytest.mark.parametrize(("deltas", "calls"), CALLS.values(), ids=CALLS)
def test_calls_are_told_apart_alike_in_streams_and_documents(
    deltas: list[dict[str, Any]], calls: list[tuple[str, str, str]]
) -> None:
    for answer in answered(*deltas):
        assert [(part.call_id, part.name, part.text) for part in answer.parts] == calls


def test_calls_without_ids_are_told_apart_by_what_begins() -> None:
    for answer in answered(
        piece(index=0, name="f", arguments=X), piece(index=0, name="f", arguments=Y)
    ):
        assert [(part.name, part.text) for part in answer.parts] == [("f", X), ("f", Y)]
        assert answer.parts[0].call_id != answer.parts[1].call_id


def test_a_call_is_told_once_it_is_known_what_it_calls() -> None:
    assert steps(piece(index=0, id="a", arguments=X), piece(index=0, name="f")) == [
        "open call0", f"more call0 {X}", "close call0",
    ]  # fmt: skip


def parts_of(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


# The contents of deltas -> the parts that they are.
CONTENTS: dict[str, tuple[list[Any], list[tuple[str, str]]]] = {
    "a list of texts": ([parts_of("Hel", "lo")], [("text", "Hello")]),
    "a list, then a text": (["", parts_of("Hel"), "lo"], [("text", "Hello")]),
    "a text, then a list": (["Hel", parts_of("lo"), ""], [("text", "Hello")]),
    "an empty list": ([[], "Hello"], [("text", "Hello")]),
    "a reference": (
        [[*parts_of("Hello"), {"type": "reference", "reference_ids": [1]}]],
        [("text", "Hello")],
    ),
    "a thought": (
        [[{"type": "thinking", "thinking": parts_of("Hm", ".")}], "Hello"],
        [("reasoning", "Hm."), ("text", "Hello")],
    ),
}


@pytest.mark.parametrize(("contents", "parts"), CONTENTS.values(), ids=CONTENTS)
def test_a_content_of_parts_is_their_text(
    contents: list[Any], parts: list[tuple[str, str]]
) -> None:
    for answer in answered(*({"content": content} for content in contents)):
        assert [(part.kind, part.text) for part in answer.parts] == parts


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": "Hi"}, **fields}]}


def scored(**token: Any) -> dict[str, Any]:
    return choice(logprobs={"content": [token]})


OTHER_TYPES: dict[str, Any] = {
    "a number for a text": choice(delta={"content": 5}),
    "an object for a text": choice(delta={"content": {"text": "Hi"}}),
    "a list of numbers": choice(delta={"content": [5]}),
    "a part that is no text": choice(delta={"content": [{"type": "text", "text": 5}]}),
    "a number for a thought": choice(delta={"reasoning": 5}),
    "a text for a delta": choice(delta="Hi"),
    "a text for the choices": {"choices": "Hi"},
    "a number for a finish reason": choice(finish_reason=5),
    "a text for the calls": choice(delta={"tool_calls": "f"}),
    "calls of numbers": choice(delta={"tool_calls": [5]}),
    "a number for a call's arguments": choice(delta=piece(id="a", name="f", arguments=5)),
    "an object for a call's name": choice(delta=piece(id="a", name={"f": 1})),
    "a number for a call's id": choice(delta=piece(id=5, name="f")),
    "a text for a function": choice(delta={"tool_calls": [{"id": "a", "function": "f"}]}),
    "a text for logprobs": choice(logprobs="x"),
    "logprobs without a token": scored(x=1),
    "logprobs without a number": scored(token="Hi", logprob=None),
    "logprobs of a text": scored(token="Hi", logprob=-1, bytes="Hi"),
    "alternatives without a token": scored(token="Hi", logprob=-1, top_logprobs=[{}]),
    "a text for alternatives": scored(token="Hi", logprob=-1, top_logprobs="x"),
}


@pytest.mark.parametrize("chunk", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_a_value_of_another_type_is_the_engines_failure(chunk: Any) -> None:
    with pytest.raises(EngineFailure):
        list(AnswerParts().events(b"data: " + orjson.dumps(chunk) + b"\n\n"))


def test_a_call_of_nothing_is_the_engines_failure() -> None:
    with pytest.raises(EngineFailure):
        steps(piece(index=0, id="a", arguments=X))


def test_what_is_only_said_about_an_answer_may_be_of_any_type() -> None:
    answer = AnswerParts()
    about = {"model": 5, "usage": {"prompt_tokens": None, "completion_tokens": 3,
                                   "prompt_tokens_details": "x"}}  # fmt: skip
    list(answer.events(b"data: " + orjson.dumps(choice() | about) + b"\n\n"))
    assert (answer.model, answer.usage) == ("", {"completion_tokens": 3})


@pytest.mark.parametrize(
    "broken", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"choices": [1]}\n\n']
)
def test_what_is_no_chat_is_the_engines_failure(broken: bytes) -> None:
    with pytest.raises(EngineFailure):
        list(AnswerParts().events(broken))
