"""The answer check reads of an answer what its client is told of it, however a server says it."""

from typing import Any

import orjson
import pytest

from deployments.gateway.answer_text import Choice, Said


def read(*deltas: dict[str, Any], finish: Any = None) -> Choice:
    """The one choice of a streamed answer."""
    said = Said()
    for delta in (*deltas, None):
        choice = {"index": 0, "delta": delta or {}, "finish_reason": None if delta else finish}
        said.take(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n", stream=True)
    return said.choices[0]


def call(name: str | None, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}, **more}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [call("f", '{"a":1}', index=0, id="x"), call("g", "{}", index=1, id="y")],
        [call("f", '{"a":1}', index=0, id="x"), call("g", "{}", index=0, id="y")],
        [call("f", '{"a":1}', id="x"), call("g", "{}", id="y")],
        [call("f", '{"a":1}'), call("g", "{}")],
        [call("f", '{"a"', index=0), call("f", ":1}", index=0), call("g", "{}", index=1)],
        [call("f", {"a": 1}, index=0, id="x"), call("g", {}, index=1, id="y")],
    ],
    ids=["OpenAI's", "numbered 0", "by id", "by name", "the name again", "objects"],
)
def test_calls_are_told_apart(deltas: list[dict[str, Any]]) -> None:
    calls = [(c.name, orjson.loads(c.arguments)) for c in read(*deltas).calls.values()]
    assert calls == [("f", {"a": 1}), ("g", {})]


def test_parts_of_a_text_are_text() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    choice = read({"content": [thought, {"type": "text", "text": "Par"}]}, {"content": "is"})
    assert choice.text == "Paris"
    assert choice.thinks and choice.says_something


@pytest.mark.parametrize("finish", [{"type": "stop"}, ["stop"], 1])
def test_reason_of_another_type_is_one(finish: Any) -> None:
    assert {read({"content": "a"}, finish=finish).finish_reason} == {str(finish)}


@pytest.mark.parametrize("delta", [{"content": 1}, {"tool_calls": [1]}, {"tool_calls": {"a": 1}}])
def test_what_is_of_no_shape_says_nothing(delta: dict[str, Any]) -> None:
    assert not read(delta).says_something
