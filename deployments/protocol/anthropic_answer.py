"""A chat's answer as Anthropic's Messages API tells it: one message, or its events."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import orjson

from deployments.protocol.answer_parts import AnswerParts, Part, Step
from deployments.protocol.anthropic_fields import OWN_WORDS
from deployments.protocol.api import event
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import ServingError
from deployments.protocol.translated import in_own_words

# Anthropic's types of error by HTTP status; what has none is `api_error`.
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_DELTAS = {"text": "text", "refusal": "text", "reasoning": "thinking", "call": "partial_json"}


def anthropic_error(error: ServingError) -> dict[str, Any]:
    """Anthropic's body for an error."""
    kind = _ERRORS.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


class AnthropicAnswer:
    """Tells one answer."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = f"msg_{uuid4().hex}"
        self._answer = AnswerParts()
        self._begun = False

    def document(self, document: bytes, usage: Usage) -> bytes:
        """The whole message."""
        self._answer.document(document)
        content = [_block(part) for part in self._answer.parts]
        return orjson.dumps(self._message(content, usage) | self._stopped())

    def events(self, events: bytes, usage: Usage) -> bytes:
        """The events so far; the first is the same for every answer."""
        steps = list(self._answer.events(events))
        return self._opening(usage) + _told(steps)

    def end(self, usage: Usage) -> bytes:
        """The last block's end, why the answer ended, and its own."""
        told = self._opening(usage) + _told(self._answer.end())
        about = {"delta": self._stopped(), "usage": _usage(self._answer.usage, usage)}
        return told + event("message_delta", about) + event("message_stop", {})

    def broken(self, error: ServingError, usage: Usage) -> bytes:
        """Anthropic's event for it, which its clients raise."""
        return event("error", self.refusal(error))

    def refusal(self, error: ServingError) -> dict[str, Any]:
        """Anthropic's body for an error, with the parameters of this API."""
        return anthropic_error(in_own_words(error, OWN_WORDS))

    def _opening(self, usage: Usage) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return event(
            "message_start", {"message": self._message([], usage._replace(completion_tokens=0))}
        )

    def _message(self, content: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._answer.model or self._model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(self._answer.usage, usage),
        }

    def _stopped(self) -> dict[str, Any]:
        """Why the answer ended. A stop sequence that cut a call short has not called anything."""
        answer = self._answer
        calls = [part for part in answer.parts if part.kind == "call"]
        reason, sequence = "end_turn", None
        if answer.finish_reason == "length":
            reason = "max_tokens"
        elif answer.finish_reason == "content_filter":
            reason = "refusal"
        elif calls and calls[-1].whole:
            reason = "tool_use"
        elif answer.stop is not None:
            reason, sequence = "stop_sequence", answer.stop
        elif calls:
            reason = "tool_use"
        return {"stop_reason": reason, "stop_sequence": sequence}


def _told(steps: Iterable[Step]) -> bytes:
    return b"".join(map(_events, steps))


def _events(step: Step) -> bytes:
    part, index = step.part, {"index": step.part.index}
    if step.what == "open":
        empty = Part(part.kind, part.index, part.name, part.call_id)
        return event("content_block_start", {**index, "content_block": _block(empty)})
    if step.what == "more":
        key = _DELTAS[part.kind]
        kind = "input_json_delta" if key == "partial_json" else f"{key}_delta"
        return event("content_block_delta", {**index, "delta": {"type": kind, key: step.text}})
    return event("content_block_stop", index)


def _block(part: Part) -> dict[str, Any]:
    text = part.text
    if part.kind == "call":
        return {"type": "tool_use", "id": part.call_id, "name": part.name, "input": _input(text)}
    if part.kind == "reasoning":
        # Nothing signs thoughts here, and nothing asks for the signature.
        return {"type": "thinking", "thinking": text, "signature": ""}
    return {"type": "text", "text": text}


def _input(arguments: str) -> dict[str, Any]:
    """A call's arguments; empty where a model has not written an object."""
    try:
        told = orjson.loads(arguments)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _usage(said: dict[str, Any], counted: Usage) -> dict[str, Any]:
    """The tokens: the engine's own words, else what was counted; cached ones are apart."""
    details = said.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or 0
    prompt = said.get("prompt_tokens", counted.prompt_tokens)
    return {
        "input_tokens": max(0, prompt - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": said.get("completion_tokens", counted.completion_tokens),
    }
