r"""OpenAI's shapes for a simulated answer: one JSON document, or server-sent events.

A load test measures what stands in front of the engine, so the engine must cost next to nothing:
everything in a chunk but its token is serialised once for the whole stream.
"""

import functools
import json
import zlib
from typing import Any

from deployments.protocol.engine import EngineRequest
from deployments.simulated.answer import OPENING, WORDS, Answer, Choice

_dumps = functools.partial(json.dumps, separators=(",", ":"))  # as small as vLLM's
_ENCODED = {word: _dumps(word).encode() for word in (*OPENING, *WORDS)}


def document(request: EngineRequest, answer: Answer, created: int) -> bytes:
    """The whole answer as one JSON document."""
    kind = "chat.completion" if request.endpoint == "chat" else "text_completion"
    choices = [_full_choice(request, i, choice) for i, choice in enumerate(answer.choices)]
    head = _head(request, kind, created)
    return _dumps(head | {"choices": choices, "usage": usage(answer)}).encode()


def usage(answer: Answer) -> dict[str, int]:
    """OpenAI's usage object."""
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


class EventStream:
    """The events of one streamed answer, step by step."""

    def __init__(self, request: EngineRequest, answer: Answer, created: int) -> None:
        kind = "chat.completion.chunk" if request.endpoint == "chat" else "text_completion"
        self._request = request
        self._answer = answer
        self._head = _dumps(_head(request, kind, created))[:-1].encode()
        self._frames = [self._frame(i, choice) for i, choice in enumerate(answer.choices)]

    def opening(self) -> bytes:
        """The role chunk of each chat choice; nothing for completions."""
        if self._request.endpoint == "completions":
            return b""
        events = []
        for index, choice in enumerate(self._answer.choices):
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            if choice.function is not None:
                call = _call(self._request, index, choice.function, "")
                delta = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
            events.append(self._event(index, {"delta": delta, "finish_reason": None}))
        return b"".join(events)

    def step(self, number: int) -> bytes:
        """Token `number` of each choice that is that long, and the finish chunk after its last."""
        events = []
        for index, choice in enumerate(self._answer.choices):
            last = len(choice.pieces) - 1
            if number > last:
                continue
            before, after = self._frames[index]
            piece = choice.pieces[number]
            if _wants_logprobs(self._request):
                events.append(self._with_logprobs(index, piece))
            else:
                events.append(before + (_ENCODED.get(piece) or _dumps(piece).encode()) + after)
            if number == last:
                events.append(self._finish(index, choice))
        return b"".join(events)

    def usage(self) -> bytes:
        """The event that ends a stream whose client set `stream_options.include_usage`."""
        tail = _dumps({"choices": [], "usage": usage(self._answer)})[1:].encode()
        return b"data: " + self._head + b"," + tail + b"\n\n"

    def malformed(self) -> bytes:
        """An event that breaks off inside its JSON, as a failing server sends it."""
        return b"data: " + self._head[: len(self._head) // 2] + b"\n\n"

    def _finish(self, index: int, choice: Choice) -> bytes:
        nothing: dict[str, Any] = {"delta": {}}
        if self._request.endpoint == "completions":
            nothing = {"text": ""}
        ended = {"finish_reason": choice.finish_reason, "stop_reason": choice.stop}
        return self._event(index, nothing | ended)

    def _event(self, index: int, fields: dict[str, Any]) -> bytes:
        choice = {"index": index, "logprobs": None, **fields}
        tail = _dumps({"choices": [choice]})[1:].encode()
        return b"data: " + self._head + b"," + tail + b"\n\n"

    def _frame(self, index: int, choice: Choice) -> tuple[bytes, bytes]:
        """The bytes before and after the token in each of a choice's chunks."""
        mark = "\0"
        fields: dict[str, Any] = {"delta": {"content": mark}}
        if self._request.endpoint == "completions":
            fields = {"text": mark}
        elif choice.function is not None:
            fields = {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": mark}}]}}
        event = self._event(index, fields | {"finish_reason": None})
        before, _, after = event.rpartition(_dumps(mark).encode())
        return before, after

    def _with_logprobs(self, index: int, piece: str) -> bytes:
        fields: dict[str, Any] = {"delta": {"content": piece}}
        if self._request.endpoint == "completions":
            fields = {"text": piece}
        logprobs = _logprobs(self._request, (piece,))
        return self._event(index, fields | {"logprobs": logprobs, "finish_reason": None})


def _head(request: EngineRequest, kind: str, created: int) -> dict[str, Any]:
    prefix = "chatcmpl" if request.endpoint == "chat" else "cmpl"
    model = str(request.body.get("model"))
    return {
        "id": f"{prefix}-{request.request_id}",
        "object": kind,
        "created": created,
        "model": model,
    }


def _full_choice(request: EngineRequest, index: int, choice: Choice) -> dict[str, Any]:
    logprobs = _logprobs(request, choice.pieces) if _wants_logprobs(request) else None
    fields = {"index": index, "logprobs": logprobs, "finish_reason": choice.finish_reason}
    fields["stop_reason"] = choice.stop
    if request.endpoint == "completions":
        return fields | {"text": choice.text}
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.function is not None:
        call = _call(request, index, choice.function, choice.text)
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return fields | {"message": message}


def _call(request: EngineRequest, index: int, function: str, arguments: str) -> dict[str, Any]:
    called = {"name": function, "arguments": arguments}
    return {"id": f"call-{request.request_id}-{index}", "type": "function", "function": called}


def _wants_logprobs(request: EngineRequest) -> bool:
    asked = request.body.get("logprobs")
    if request.endpoint == "chat":
        return asked is True and request.body.get("tool_choice") in (None, "auto", "none")
    return asked is not None and asked is not False


def _logprobs(request: EngineRequest, pieces: tuple[str, ...]) -> dict[str, Any]:
    """Made-up but steady log probabilities, in OpenAI's shape for the endpoint."""
    if request.endpoint == "chat":
        alternatives = request.body.get("top_logprobs") or 0
        return {"content": [_chat_logprob(piece, alternatives) for piece in pieces]}
    offsets = [sum(map(len, pieces[:i])) for i in range(len(pieces))]
    return {
        "tokens": list(pieces),
        "token_logprobs": [_logprob(piece) for piece in pieces],
        "top_logprobs": [{piece: _logprob(piece)} for piece in pieces],
        "text_offset": offsets,
    }


def _chat_logprob(piece: str, alternatives: int) -> dict[str, Any]:
    chosen = _token_logprob(piece, _logprob(piece))
    others = [_token_logprob(word, -3.0 - i) for i, word in enumerate(WORDS[: alternatives - 1])]
    return chosen | {"top_logprobs": [chosen, *others] if alternatives else []}


def _token_logprob(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _logprob(piece: str) -> float:
    """Between -0.11 and -0.01, from the token alone: a confident answer."""
    return -0.01 - zlib.crc32(piece.encode()) % 101 / 1000
