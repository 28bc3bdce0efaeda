"""Did the small model answer at all? Looked at before the first byte is committed.

A small model that ends at once, with no text and no tool call, has given up; the large one gets
the request. Costs a look at the first events only.
"""

from collections.abc import AsyncIterable
from typing import Any

import orjson

from deployments.protocol.errors import EngineFailure
from deployments.protocol.openai_request import ParsedRequest


async def first_content(answer: AsyncIterable[bytes], stream: bool) -> list[bytes]:
    """The items up to the first one that carries content; all of them where none does."""
    held: list[bytes] = []
    async for item in answer:
        held.append(item)
        if not stream or any(_carries_content(event) for event in _events(item)):
            break
    return held


def is_empty_answer(held: list[bytes], request: ParsedRequest) -> bool:
    """Whether the held items are a whole answer that says nothing.

    A stop sequence or a token limit that ends an answer at once is the client's own doing.
    """
    if request.body.get("stop") or not held:
        return not held
    events = _events(b"".join(held)) if request.stream else [_loads(held[0])]
    choices = [choice for event in events for choice in event.get("choices") or ()]
    ended = any(choice.get("finish_reason") for choice in choices)
    by_itself = all(choice.get("finish_reason") in (None, "stop") for choice in choices)
    return ended and by_itself and not any(map(_carries_content, events))


def _events(item: bytes) -> list[dict[str, Any]]:
    """The JSON of the SSE events in an item."""
    lines = (line for line in item.split(b"\n") if line.startswith(b"data: {"))
    return [_loads(line[6:]) for line in lines]


def _loads(document: bytes) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise EngineFailure("The model's answer is not valid JSON.") from None
    return loaded


def _carries_content(event: dict[str, Any]) -> bool:
    for choice in event.get("choices") or ():
        part = choice.get("delta") or choice.get("message") or choice
        if any(part.get(key) for key in ("content", "text", "tool_calls", "refusal", "reasoning")):
            return True
    return False
