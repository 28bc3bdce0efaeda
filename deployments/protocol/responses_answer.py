"""A chat's answer as OpenAI's Responses API tells it: one `response` object, or its events."""

import time
from typing import Any
from uuid import uuid4

import orjson

from deployments.protocol.answer_parts import AnswerParts, Part, Step
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import Overloaded, ServingError
from deployments.protocol.responses_events import Events
from deployments.protocol.responses_fields import OWN_WORDS
from deployments.protocol.responses_schema import ResponsesRequest
from deployments.protocol.responses_tools import custom_names
from deployments.protocol.translated import in_own_words

# Finish reasons of a chat after which an answer is not complete -> why, in OpenAI's words.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What an answer repeats of its request -> what it says where the request says nothing.
_REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}


class ResponsesAnswer:
    """Tells one answer."""

    def __init__(self, given: dict[str, Any], request: ResponsesRequest) -> None:
        self._given = given
        self._id = f"resp_{uuid4().hex}"
        self._created_at = int(time.time())
        self._answer = AnswerParts()
        self._items = Events(custom_names(request))
        self._begun = False

    def document(self, document: bytes, usage: Usage) -> bytes:
        """The whole `response`."""
        self._answer.document(document)
        return orjson.dumps(self._whole(usage))

    def events(self, events: bytes, usage: Usage) -> bytes:
        """The events so far; the first are the same for every answer."""
        steps = list(self._answer.events(events))
        return self._opening() + self._told(steps)

    def end(self, usage: Usage) -> bytes:
        """The items' last events, and that of the response."""
        told = self._opening() + self._told(self._answer.end())
        whole = self._whole(usage)
        return told + self._items.event(f"response.{whole['status']}", response=whole)

    def broken(self, error: ServingError, usage: Usage) -> bytes:
        """OpenAI's two events for it; its clients raise on the first."""
        said = self.refusal(error)["error"]
        whole = self._response("failed", self._output("incomplete"))
        whole |= {"error": _failure(error), "usage": _usage(self._answer.usage, usage)}
        # The object for clients that read it, and the fields of OpenAI's schema.
        failed = self._items.event("error", error=said, **_flat(said))
        return self._opening() + failed + self._items.event("response.failed", response=whole)

    def refusal(self, error: ServingError) -> dict[str, Any]:
        """OpenAI's envelope, with the parameters of this API."""
        return in_own_words(error, OWN_WORDS).envelope()

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        response = self._response("in_progress", [])
        return b"".join(
            self._items.event(f"response.{name}", response=response)
            for name in ("created", "in_progress")
        )

    def _told(self, steps: Any) -> bytes:
        return b"".join(self._items.told(step, self._status(step)) for step in steps)

    def _status(self, step: Step) -> str:
        """Of an item that ends: the last one of an answer that was cut is incomplete."""
        last = step.part is self._answer.parts[-1]
        return "incomplete" if last and self._cut else "completed"

    @property
    def _cut(self) -> bool:
        return self._answer.finish_reason in _INCOMPLETE

    def _whole(self, usage: Usage) -> dict[str, Any]:
        status = "incomplete" if self._cut else "completed"
        response = self._response(status, self._output(status))
        if self._cut:
            reason = _INCOMPLETE[self._answer.finish_reason or ""]
            response["incomplete_details"] = {"reason": reason}
        else:
            response["completed_at"] = int(time.time())
        return response | {"usage": _usage(self._answer.usage, usage)}

    def _output(self, last: str) -> list[dict[str, Any]]:
        parts: list[Part] = self._answer.parts
        before = [self._items.item(part, "completed") for part in parts[:-1]]
        return before + [self._items.item(part, last) for part in parts[-1:]]

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        given = self._given
        text = {"format": {"type": "text"}} | (given.get("text") or {})
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self._answer.model or given.get("model", "auto"),
            "output": output,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None} | (given.get("reasoning") or {}),
            "service_tier": "default",
            "store": False,
            "text": text,
            "truncation": "disabled",
            "usage": None,
            **{name: given.get(name, default) for name, default in _REPEATED.items()},
        }


def _usage(said: dict[str, Any], counted: Usage) -> dict[str, Any]:
    """The answer's tokens: the engine's own words, else what was counted on the way."""
    read = said.get("prompt_tokens_details") or {}
    wrote = said.get("completion_tokens_details") or {}
    prompt = said.get("prompt_tokens", counted.prompt_tokens)
    completion = said.get("completion_tokens", counted.completion_tokens)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": read.get("cached_tokens") or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": wrote.get("reasoning_tokens") or 0},
        "total_tokens": prompt + completion,
    }


def _failure(error: ServingError) -> dict[str, Any]:
    """A response's own error, whose codes OpenAI lists."""
    code = "rate_limit_exceeded" if isinstance(error, Overloaded) else "server_error"
    return {"code": code, "message": error.message}


def _flat(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("code", "message", "param")}
