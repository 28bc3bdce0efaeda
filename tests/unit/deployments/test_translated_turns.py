"""The items of OpenAI's and the blocks of Anthropic's conversations as a chat's messages."""

import time
from typing import Any

import orjson
import pytest

from deployments.protocol.anthropic_request import parse_messages
from deployments.protocol.apis import parse_call
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.responses_request import parse_responses

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
USED = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALLED = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
SHOT = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(*content: Any, **item: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in content]
    return {"type": "message", "role": "assistant", "content": parts, "id": "msg_1", **item}


def thought(*texts: str) -> dict[str, Any]:
    parts = [{"type": "reasoning_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": parts}


ITEMS: dict[str, tuple[list[Any], list[Any]]] = {
    "a message that does not say it is one": ([user("Hi")], [user("Hi")]),
    "parts": (
        [user([{"type": "input_text", "text": "Hi"},
               {"type": "input_image", "image_url": PICTURE["image_url"]["url"]}])],  # type: ignore[index]
        [user([{"type": "text", "text": "Hi"}, PICTURE])],
    ),
    "what stands before everything is one message": (
        [{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, user("Hi"),
         {"role": "developer", "content": "C"}],
        [{"role": "system", "content": "A\n\nB"}, user("Hi"), {"role": "system", "content": "C"}],
    ),
    "a turn of thought, text and calls": (
        [user("Hi"), {"type": "reasoning", "id": "rs_1", "summary": [],
                      "content": [{"type": "reasoning_text", "text": "Hm."}]},
         said("Yes."), CALLED, OUTPUT],
        [user("Hi"), {"role": "assistant", "content": "Yes.", "reasoning": "Hm.",
                      "tool_calls": [CALL]}, RESULT],
    ),
    "two answers in a row": (
        [user("Hi"), said("A"), said("B")],
        [user("Hi"), {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}],
    ),
    "all texts of an answer": (
        [user("Hi"), said("A", "B")],
        [user("Hi"), {"role": "assistant", "content": [{"type": "text", "text": "A"},
                                                       {"type": "text", "text": "B"}]}],
    ),
    "a thought between two answers": (
        [user("Hi"), said("A"), thought("Hm.", "So."), said("B")],
        [user("Hi"), {"role": "assistant", "content": "A"},
         {"role": "assistant", "content": "B", "reasoning": "Hm.\nSo."}],
    ),
    "a thought between an answer and its call": (
        [user("Hi"), said("A"), thought("Hm."), CALLED, OUTPUT],
        [user("Hi"), {"role": "assistant", "content": "A", "reasoning": "Hm.",
                      "tool_calls": [CALL]}, RESULT],
    ),
    "thoughts one after the other": (
        [user("Hi"), thought("A"), thought(), thought("B"), said("Yes.")],
        [user("Hi"), {"role": "assistant", "content": "Yes.", "reasoning": "A\nB"}],
    ),
    "thoughts that nobody can read": (
        [user("Hi"), {**thought(), "encrypted_content": "x"}, user("Go")],
        [user("Hi"), user("Go")],
    ),
    "words between two calls' results": (
        [user("Hi"), CALLED, {**CALLED, "call_id": "c2"}, OUTPUT, user("Quick"),
         {**OUTPUT, "call_id": "c2"}],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}]}, RESULT,
         {**RESULT, "tool_call_id": "c2"}, user("Quick")],
    ),
    "words between a call and its result": (
        [user("Hi"), CALLED, {"role": "developer", "content": "Now."}, OUTPUT],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]}, RESULT,
         {"role": "system", "content": "Now."}],
    ),
    "a call of its own between a call and its result": (
        [user("Hi"), CALLED, {**CALLED, "call_id": "c2"}, OUTPUT, {**CALLED, "call_id": "c3"},
         {**OUTPUT, "call_id": "c3"}, {**OUTPUT, "call_id": "c2"}],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}]}, RESULT,
         {**RESULT, "tool_call_id": "c2"},
         {"role": "assistant", "tool_calls": [{**CALL, "id": "c3"}]},
         {**RESULT, "tool_call_id": "c3"}],
    ),
    "a call's id that comes again": (
        [user("Hi"), CALLED, OUTPUT, CALLED, {**OUTPUT, "output": "43"}],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]}, RESULT,
         {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "content": "43"}],
    ),
    "a call that nobody answered": (
        [user("Hi"), CALLED, user("Never mind")],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]}, user("Never mind")],
    ),
    "results with pictures": (
        [user("Hi"), CALLED, {**CALLED, "call_id": "c2"},
         {**OUTPUT, "output": [{"type": "input_text", "text": "4"}, SHOT,
                               {"type": "input_text", "text": "2"}]},
         {**OUTPUT, "call_id": "c2", "output": [SHOT]}],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
         {**RESULT, "content": "4\n2"}, {**RESULT, "tool_call_id": "c2", "content": ""},
         user([PICTURE, PICTURE])],
    ),
    "a result of nothing": (
        [user("Hi"), CALLED, {**OUTPUT, "output": []}],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "content": ""}],
    ),
    "a thought that led nowhere": (
        [user("Hi"), {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}],
        [user("Hi"), {"role": "assistant", "content": "", "reasoning": "Hm."}],
    ),
    "a custom tool": (
        [user("Hi"), {"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": "ls"},
         {"type": "custom_tool_call_output", "call_id": "c1", "output": "42"}],
        [user("Hi"), {"role": "assistant", "tool_calls": [
            {**CALL, "function": {"name": "run", "arguments": '{"input":"ls"}'}}]}, RESULT],
    ),
    "a refusal": (
        [user("Hi"), {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [user("Hi"), {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
    ),
    "an answer begins": ([said("Hello")], [{"role": "assistant", "content": "Hello"}]),
}  # fmt: skip


@pytest.mark.parametrize(("items", "messages"), ITEMS.values(), ids=ITEMS)
def test_items_become_messages(items: list[Any], messages: list[Any]) -> None:
    parsed, _ = parse_responses(orjson.dumps({"model": "auto", "input": items}))
    assert parsed.body["messages"] == messages


def test_many_thoughts_cost_what_they_weigh() -> None:
    items = [user("Hi"), *[thought("x" * 440)] * 16_000]
    started_s = time.process_time()
    parsed, _ = parse_responses(orjson.dumps({"input": items}))
    # A copy of all that was thought before, each time, is 57 GB to move and half a minute; this is
    # a tenth of a second.
    assert time.process_time() - started_s < 10
    assert len(parsed.body["messages"][1]["reasoning"]) == 16_000 * 441 - 1


BLOCKS: dict[str, tuple[list[Any], list[Any]]] = {
    "text": ([user("Hi")], [user("Hi")]),
    "one block": ([user([{"type": "text", "text": "Hi"}])], [user("Hi")]),
    "an image": (
        [user([{"type": "text", "text": "Hi"}, {"type": "image", "source": PNG}])],
        [user([{"type": "text", "text": "Hi"}, PICTURE])],
    ),
    "a turn of thought, text and calls": (
        [user("Hi"), {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Yes."}, USED]},
         user([{"type": "tool_result", "tool_use_id": "c1", "content": "42"}])],
        [user("Hi"), {"role": "assistant", "content": "Yes.", "reasoning": "Hm.",
                      "tool_calls": [CALL]}, RESULT],
    ),
    "a result, its image and a word beside it": (
        [user("Hi"), {"role": "assistant", "content": [USED]},
         user([{"type": "tool_result", "tool_use_id": "c1",
                "content": [{"type": "text", "text": "42"}, {"type": "image", "source": PNG}]},
               {"type": "text", "text": "See?"}])],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]}, RESULT,
         user([PICTURE, {"type": "text", "text": "See?"}])],
    ),
    "a result that is an error": (
        [user("Hi"), {"role": "assistant", "content": [USED]},
         user([{"type": "tool_result", "tool_use_id": "c1", "content": "gone", "is_error": True}])],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]},
         {**RESULT, "content": "Error: gone"}],
    ),
    "a result of nothing": (
        [user("Hi"), {"role": "assistant", "content": [USED]},
         user([{"type": "tool_result", "tool_use_id": "c1"}])],
        [user("Hi"), {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "content": ""}],
    ),
    "a system's word in between": (
        [user("Hi"), {"role": "system", "content": "Now."}, user("Go")],
        [user("Hi"), {"role": "system", "content": "Now."}, user("Go")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("turns", "messages"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_become_messages(turns: list[Any], messages: list[Any]) -> None:
    body = {"model": "auto", "max_tokens": 5, "messages": turns}
    parsed, _ = parse_messages(orjson.dumps(body))
    assert parsed.body["messages"] == messages


def test_what_stands_before_everything_is_one_message() -> None:
    for system in ("A", [{"type": "text", "text": "A"}]):
        parts = [{"type": "text", "text": "C"}]
        turns = [{"role": "system", "content": told} for told in ("B", parts)] + [user("Hi")]
        body = {"max_tokens": 5, "system": system, "messages": turns}
        parsed, _ = parse_messages(orjson.dumps(body))
        first = {"role": "system", "content": "A\n\nB\n\nC"}
        assert parsed.body["messages"] == [first, user("Hi")]


def test_only_an_answer_that_was_begun_is_continued() -> None:
    begun = [user("Hi"), {"role": "assistant", "content": "The answer"}]
    body = {"model": "auto", "max_tokens": 5, "messages": begun}
    parsed, _ = parse_messages(orjson.dumps(body))
    assert parsed.body["continue_final_message"] is True
    assert parsed.needs == {"vllm": "messages"}
    called = [user("Hi"), {"role": "assistant", "content": [USED]}]
    parsed, _ = parse_messages(orjson.dumps({**body, "messages": called}))
    assert "continue_final_message" not in parsed.body


def test_some_of_the_tools_may_be_chosen_from() -> None:
    tools = [{"type": "function", "name": name} for name in ("f", "g", "h")]
    some = {"type": "allowed_tools", "mode": "required",
            "tools": [{"type": "function", "name": "g"}]}  # fmt: skip
    body = {"model": "auto", "input": "Hi", "tools": tools, "tool_choice": some}
    parsed, _ = parse_responses(orjson.dumps(body))
    assert [tool["function"]["name"] for tool in parsed.body["tools"]] == ["g"]
    assert parsed.body["tool_choice"] == "required"


# (API, body) -> the parameter that is wrong
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a chat with both": ("chat", {"messages": [user("Hi")], "input": "Hi"}, "input"),
    "labels that are none": ("responses", {"input": "Hi", "metadata": {"a": 1}}, "metadata"),
    "a store that is none": ("responses", {"input": "Hi", "store": "no"}, "store"),
    "a tool's name": (
        "responses",
        {"input": "Hi", "tools": [{"type": "function", "name": "a b"}]},
        "tools[0].name",
    ),
    "a tool's name of the other": (
        "messages",
        {"messages": [user("Hi")], "tools": [{"name": "a b", "input_schema": {}}]},
        "tools[0].name",
    ),
    "one stop sequence": (
        "messages",
        {"messages": [user("Hi")], "stop_sequences": "x"},
        "stop_sequences",
    ),
    "an unknown item": ("responses", {"input": [{"type": "x"}]}, "input[0].type"),
    "a stored item": (
        "responses",
        {"input": [{"type": "item_reference", "id": "x"}]},
        "input[0].type",
    ),
    "an item of no type": ("responses", {"input": [{"id": "x"}]}, "input[0].type"),
    "an item that is none": ("responses", {"input": ["Hi"]}, "input[0]"),
    "an unknown part": (
        "responses",
        {"input": [user([{"type": "input_file"}])]},
        "input[0].content[0].type",
    ),
    "a stored image": (
        "responses",
        {"input": [user([{"type": "input_image", "image_url": "https://x", "file_id": "f"}])]},
        "input[0].content[0].file_id",
    ),
    "an output without a call": ("responses", {"input": [user("Hi"), OUTPUT]}, "input[1].call_id"),
    "a call after its output": ("responses", {"input": [OUTPUT, CALLED]}, "input[0].call_id"),
    "a grammar": (
        "responses",
        {"input": "Hi", "tools": [{"type": "custom", "name": "f", "format": {"type": "grammar"}}]},
        "tools[0].format.type",
    ),
    "a tool that is not there": (
        "responses",
        {"input": "Hi", "tools": [], "tool_choice": {"type": "function", "name": "f"}},
        "tool_choice",
    ),
    "both inputs": ("responses", {"input": "Hi", "messages": [user("Hi")]}, "messages"),
    "no input": ("responses", {}, "input"),
    "an empty input": ("responses", {"input": []}, "input"),
    "deep arguments": ("responses", {"input": [{**CALLED, "arguments": "[" * 100}]}, "input"),
    "an unknown block": (
        "messages",
        {"messages": [user([{"type": "document"}])]},
        "messages[0].content[0].type",
    ),
    "a result without a use": (
        "messages",
        {"messages": [user([{"type": "tool_result", "tool_use_id": "x"}])]},
        "messages[0].content[0]",
    ),
    "a user who uses tools": ("messages", {"messages": [user([USED])]}, "messages[0].content[0]"),
    "an assistant with results": (
        "messages",
        {
            "messages": [
                user("Hi"),
                {"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "x"}]},
            ]
        },
        "messages[1].content[0]",
    ),
    "a stored picture": (
        "messages",
        {"messages": [user([{"type": "image", "source": {"type": "file", "file_id": "x"}}])]},
        "messages[0].content[0].source.type",
    ),
    "no limit": ("messages", {"messages": [user("Hi")], "max_tokens": None}, "max_tokens"),
    "no messages": ("messages", {"messages": []}, "messages"),
    "a tool without a name": (
        "messages",
        {"messages": [user("Hi")], "tool_choice": {"type": "tool"}},
        "tool_choice.name",
    ),
    "both of the other": ("messages", {"messages": [user("Hi")], "input": "Hi"}, "input"),
    "a URL that is none": (
        "messages",
        {"messages": [user([{"type": "image", "source": {"type": "url", "url": "file:///x"}}])]},
        "messages",
    ),
}


@pytest.mark.parametrize(("api", "fields", "param"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named_where_it_stands(api: Any, fields: dict[str, Any], param: str) -> None:
    first: dict[str, Any] = {"model": "auto"} | ({"max_tokens": 5} if api == "messages" else {})
    with pytest.raises(InvalidRequest) as caught:
        parse_call(api, orjson.dumps({**first, **fields}))
    assert caught.value.param == param
    assert param in caught.value.message
    assert "\n" not in caught.value.message
