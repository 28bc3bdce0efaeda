"""A new turn is judged by what the user says in it; tool results belong to the turn before."""

from typing import Any

import orjson
import pytest

from deployments.protocol.openai_request import parse
from deployments.routing.turn import turn_of
from tests.fakes import chat

CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
SYSTEM = {"role": "system", "content": "It is noon."}
REMINDER = "<system-reminder>The file has changed.</system-reminder>"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# messages -> whether they bring tool results back
ENDS: dict[str, tuple[list[Any], bool]] = {
    "a question": (["Hi"], False),
    "a tool result": (["Hi", CALL, RESULT], True),
    "two tool results": (["Hi", CALL, RESULT, RESULT], True),
    "the second step": (["Hi", CALL, RESULT, CALL, RESULT], True),
    "a question after a tool result": (["Hi", CALL, RESULT, "And now?"], False),
    "an answer to go on with": (["Hi", {"role": "assistant", "content": "Well"}], False),
    "tool results of nobody's question": ([SYSTEM, CALL, RESULT], False),
    "a result's picture": (["Hi", CALL, RESULT, user(IMAGE)], True),
    "results' pictures": (["Hi", CALL, RESULT, RESULT, user(IMAGE, IMAGE)], True),
    "a result's picture and a harness's words": (["Hi", CALL, RESULT, user(IMAGE), REMINDER], True),
    "a picture and a question": (["Hi", CALL, RESULT, user(IMAGE, text("And now?"))], False),
    "a picture behind an answer": (
        ["Hi", {"role": "assistant", "content": "Well"}, user(IMAGE)],
        False,
    ),
    "a harness's words beside a result": (["Hi", CALL, RESULT, REMINDER], True),
    "a system's words behind a result": (["Hi", CALL, RESULT, SYSTEM], True),
    "a question beside a harness's words": (["Hi", CALL, RESULT, REMINDER + " And now?"], False),
}


@pytest.mark.parametrize(("said", "continues"), ENDS.values(), ids=ENDS)
def test_tool_results_continue_a_turn(said: list[Any], continues: bool) -> None:
    assert turn_of(chat(*said)).continues is continues


def test_every_step_of_a_loop_is_the_same_turn_and_is_judged_alike() -> None:
    first = turn_of(chat(SYSTEM, "Hi", tools=TOOLS))
    for steps in ([CALL, RESULT], [CALL, RESULT, CALL, RESULT]):
        step = turn_of(chat(SYSTEM, "Hi", *steps, tools=TOOLS))
        assert step.said == first.said
        assert step.scored == first.scored


def test_a_harness_words_between_two_steps_do_not_change_the_turn() -> None:
    one = turn_of(chat("Hi", CALL, RESULT, tools=TOOLS))
    other = turn_of(chat("Hi", CALL, RESULT, REMINDER, CALL, RESULT, REMINDER, tools=TOOLS))
    assert one.said == other.said is not None
    assert one.scored == other.scored


def test_a_results_picture_does_not_change_the_turn() -> None:
    one = turn_of(chat("Hi", CALL, RESULT, tools=TOOLS))
    shown = [CALL, RESULT, user(IMAGE)]
    other = turn_of(chat("Hi", *shown, *shown, tools=TOOLS))
    assert one.said == other.said is not None
    assert one.scored == other.scored is not None


def test_what_clients_rewrite_between_steps_does_not_change_the_turn() -> None:
    later = {"role": "system", "content": "It is one."}
    stripped = {**CALL, "reasoning_content": "hm"}
    one = turn_of(chat(SYSTEM, "Hi", CALL, RESULT, tools=TOOLS))
    other = turn_of(chat(later, "Hi", stripped, {**RESULT, "content": "43"}))
    assert one.said == other.said is not None


@pytest.mark.parametrize("said", [["Hello"], ["Hi", "Hi"], [user(text("Hi"), IMAGE)]])
def test_another_question_is_another_turn(said: list[Any]) -> None:
    assert turn_of(chat(*said, tools=TOOLS)).said != turn_of(chat("Hi", tools=TOOLS)).said


def test_without_tools_no_loop_can_follow() -> None:
    assert turn_of(chat("Hi")).said is None
    assert turn_of(chat("Hi", tools=TOOLS)).said is not None


@pytest.mark.parametrize(
    ("last", "judged"),
    [
        (user(IMAGE), False),
        (user(IMAGE, text("  ")), False),
        (user(IMAGE, text("What is it?")), True),
        ({"role": "user", "content": ""}, False),
        ("What is it?", True),
    ],
)
def test_a_turn_without_text_is_not_judged_by_an_older_one(last: Any, judged: bool) -> None:
    turn = turn_of(chat("Prove that there are infinitely many primes.", last))
    assert (turn.scored is not None) is judged


def test_a_completion_is_a_turn_of_its_own() -> None:
    turn = turn_of(parse("completions", orjson.dumps({"model": "auto", "prompt": "Hi"})))
    assert (turn.scored, turn.continues, turn.said) == ("Hi", False, None)
