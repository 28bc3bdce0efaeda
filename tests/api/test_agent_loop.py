"""A coding agent's thirty turns through the official clients: every step of a task goes where its
first one went, and the next task is judged anew."""

import json
from typing import Any

import anthropic
import pytest

from tests.api.conftest import Service

# What the user asks, how hard it is, and where that goes.
TASKS = [
    ("Why does the scheduler deadlock under load? Find it and prove your fix.", 0.9, "large"),
    ("Rename the variable x to count in main.py.", 0.1, "small"),
    ("Now redesign the lock so that readers never wait for each other.", 0.9, "large"),
]
STEPS = 9
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
REMINDER = "<system-reminder>The file has changed since it was read.</system-reminder>"


def check(service: Service, where: list[tuple[str, str, str]]) -> None:
    """A task's first step is judged, the others follow it unjudged; its end too."""
    expected = []
    for _, score, tier in TASKS:
        expected.append((tier, "classifier", f"{score:.4f}"))
        expected += [(tier, "tool_loop", "")] * STEPS
    assert where == expected
    assert len(where) == 30
    assert len(service.scorer.asked) == len(TASKS)
    # Each judged with the tasks alone: nothing that a tool gave back.
    for asked in service.scorer.asked:
        assert "ENOENT" not in json.dumps(asked[-1])
    assert [record.outcome for record in service.records] == ["ok"] * 30


def decided(headers: Any) -> tuple[str, str, str]:
    """Tier, cause and score of an answer."""
    return tuple(headers[f"x-smallfirst-{name}"] for name in ("tier", "cause", "score"))


@pytest.mark.parametrize("stream", [False, True])
async def test_through_responses(service: Service, stream: bool) -> None:
    tools: Any = [{"type": "function", "name": "read", "parameters": SCHEMA}]
    conversation: list[Any] = [{"role": "developer", "content": "You are a coding agent."}]
    where = []
    async with service.openai as client:
        for task, score, _ in TASKS:
            service.scorer.complexity = score
            conversation.append({"role": "user", "content": task})
            for step in range(STEPS + 1):
                choice: Any = "required" if step < STEPS else "none"
                raw = await client.responses.with_raw_response.create(
                    model="auto", instructions="Read before you write.", input=conversation,
                    tools=tools, tool_choice=choice, stream=stream, store=False,
                    include=["reasoning.encrypted_content"],
                )  # fmt: skip
                where.append(decided(raw.headers))
                answer: Any = raw.parse()
                if stream:
                    answer = [event async for event in answer][-1].response
                conversation += answer.output
                conversation += [
                    {"type": "function_call_output", "call_id": item.call_id,
                     "output": "ENOENT: no such file"}
                    for item in answer.output if item.type == "function_call"
                ]  # fmt: skip
    check(service, where)


@pytest.mark.parametrize("stream", [False, True])
async def test_through_messages(service: Service, stream: bool) -> None:
    tools: Any = [{"name": "read", "input_schema": SCHEMA}]
    conversation: list[Any] = []
    where = []
    async with anthropic.AsyncAnthropic(
        base_url=service.url, api_key="none", max_retries=0
    ) as client:
        for task, score, _ in TASKS:
            service.scorer.complexity = score
            conversation.append({"role": "user", "content": task})
            for step in range(STEPS + 1):
                choice: Any = {"type": "any" if step < STEPS else "none"}
                asked: Any = {
                    "model": "auto", "system": "Read before you write.", "max_tokens": 400,
                    "messages": conversation, "tools": tools, "tool_choice": choice,
                }  # fmt: skip
                if stream:
                    async with client.messages.stream(**asked) as streamed:
                        message = await streamed.get_final_message()
                        where.append(decided(streamed.response.headers))
                else:
                    raw = await client.messages.with_raw_response.create(**asked)
                    message = await raw.parse()
                    where.append(decided(raw.headers))
                content = [block.model_dump(exclude_none=True) for block in message.content]
                conversation.append({"role": "assistant", "content": content})
                results = [
                    {"type": "tool_result", "tool_use_id": block.id, "is_error": True,
                     "content": [{"type": "text", "text": "ENOENT: no such file"}]}
                    for block in message.content if block.type == "tool_use"
                ]  # fmt: skip
                if results:
                    beside = {"type": "text", "text": REMINDER}
                    conversation.append({"role": "user", "content": [*results, beside]})
    check(service, where)
