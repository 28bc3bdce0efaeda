"""Reads an answer that came as one JSON document, and makes events of it for who wants a stream."""

import json
from collections.abc import AsyncIterator
from typing import Any

from deployments.protocol.errors import EngineFailure
from deployments.upstream.assembly import number_of
from deployments.upstream.errors import refusal_inside
from deployments.upstream.plain_json import PlainJson
from deployments.upstream.provider_error import failure_in
from deployments.upstream.sse import DONE
from deployments.upstream.stream import MAX_ANSWER_BYTES, says
from deployments.upstream.usage import COUNTS, Meter, estimated_tokens, is_count


async def read_document(chunks: AsyncIterator[bytes]) -> bytes:
    """All bytes. Raises: `EngineFailure` where there are too many."""
    parts, size = [], 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise EngineFailure("The upstream's answer is too large.")
    return b"".join(parts)


def parse_document(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The answer in a document, and the document as every client can read it.

    Raises: `EngineFailure` where it is no answer; for an error in its place, what that means.
    """
    try:
        answer, plain = PlainJson().read(raw)
    except (ValueError, RecursionError) as error:
        raise EngineFailure("The upstream's answer is not JSON.") from error
    if failure := failure_in(answer):
        raise refusal_inside(failure)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not all(map(_is_answer, choices)):
        raise EngineFailure("The upstream gave no answer.")
    return dict(answer), plain


def count(answer: dict[str, Any], meter: Meter) -> None:
    """Have the answer counted."""
    meter.token_events = estimated_tokens([_said(choice) for choice in answer["choices"]])
    meter.take(answer.get("usage"))


def with_usage(answer: dict[str, Any], plain: bytes, meter: Meter) -> bytes:
    """The document with what was counted: as it came, where it says all of that itself."""
    usage = answer.get("usage")
    if isinstance(usage, dict) and all(is_count(usage.get(name)) for name in COUNTS):
        return plain
    return json.dumps(answer | {"usage": meter.object()}).encode()


def as_events(answer: dict[str, Any]) -> bytes:
    """A document as the stream that an upstream should have sent."""
    chunk = answer | {"choices": [_delta(choice) for choice in answer["choices"]]}
    if answer.get("object") == "chat.completion":
        chunk["object"] = "chat.completion.chunk"
    return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: " + DONE + b"\n\n"


def _delta(choice: dict[str, Any]) -> dict[str, Any]:
    if "message" not in choice:
        return choice
    rest = {key: value for key, value in choice.items() if key != "message"}
    delta = dict(choice["message"])
    if isinstance(calls := delta.get("tool_calls"), list):
        numbered = [{"index": i} | call for i, call in enumerate(calls) if isinstance(call, dict)]
        delta["tool_calls"] = numbered
    return {"index": number_of(choice), "delta": delta} | rest


def _is_answer(choice: Any) -> bool:
    if not isinstance(choice, dict) or _said(choice) is None:
        return False
    return says(choice) or choice.get("finish_reason") is not None


def _said(choice: dict[str, Any]) -> dict[str, Any] | str | None:
    said = choice.get("message", choice.get("text"))
    return said if isinstance(said, dict | str) else None
