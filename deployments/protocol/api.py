"""The APIs that clients speak here, and how an answer is told in each.

Engines know `chat` and `completions`. What is asked in another API is translated to a chat before
anything is decided, so that score, route, answer check, fallback and ledger are the same for all,
and the answer is told back in the API's own words.
"""

from typing import Any, Literal, Protocol

import orjson

from deployments.protocol.chunk import Usage
from deployments.protocol.errors import ServingError

Api = Literal["chat", "completions", "responses", "messages"]


class Telling(Protocol):
    """How one answer is told to its client: made for a request, used once."""

    def document(self, document: bytes, usage: Usage) -> bytes:
        """An engine's whole JSON document in the client's API. Raises: `EngineFailure`."""

    def events(self, events: bytes, usage: Usage) -> bytes:
        """An engine's events in the client's API, perhaps none yet. Raises: `EngineFailure`."""

    def end(self, usage: Usage) -> bytes:
        """What follows the last event of a whole answer."""

    def broken(self, error: ServingError, usage: Usage) -> bytes:
        """What follows the last event of an answer that broke off, with what was used so far."""

    def refusal(self, error: ServingError) -> dict[str, Any]:
        """The body of an error before the first byte."""


class AsAnswered:
    """OpenAI's chat and completions: engines speak them."""

    def document(self, document: bytes, usage: Usage) -> bytes:
        """As it is."""
        return document

    def events(self, events: bytes, usage: Usage) -> bytes:
        """As they are."""
        return events

    def end(self, usage: Usage) -> bytes:
        """OpenAI's end of a stream."""
        return b"data: [DONE]\n\n"

    def broken(self, error: ServingError, usage: Usage) -> bytes:
        """One event, and no `[DONE]`."""
        body = {**error.envelope(), "usage": usage_object(usage)}
        return b"data: " + orjson.dumps(body) + b"\n\n"

    def refusal(self, error: ServingError) -> dict[str, Any]:
        """OpenAI's envelope."""
        return error.envelope()


def usage_object(usage: Usage) -> dict[str, int]:
    """OpenAI's `usage`."""
    prompt, completion = usage
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def event(name: str, fields: dict[str, Any]) -> bytes:
    """A named server-sent event, whose data says its name too."""
    data = orjson.dumps({"type": name, **fields})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
