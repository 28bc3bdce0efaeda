"""Bodies that are wrong, each in its own way, and what their clients are to be told."""

from typing import Any

import orjson

USER = {"role": "user", "content": "Hello"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(**fields: Any) -> bytes:
    return orjson.dumps({"model": "auto", "messages": [USER], "max_tokens": 2, **fields})


# body -> status, OpenAI's code
BAD = {
    "no body": (b"", 400, "invalid_request"),
    "malformed JSON": (b'{"model": "auto",', 400, "invalid_request"),
    "a list": (b"[1]", 400, "invalid_request"),
    "invalid UTF-8": (chat().replace(b"Hello", b"\xc3\x28"), 400, "invalid_request"),
    "half a surrogate": (chat().replace(b"Hello", b"\\ud800"), 400, "invalid_request"),
    "no messages": (chat(messages=[]), 400, "invalid_request"),
    "messages a word": (chat(messages="Hi"), 400, "invalid_request"),
    "an image": (chat(messages=[{"role": "user", "content": [IMAGE]}]), 400, "invalid_request"),
    "a schema nested 990 deep": (
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": "HERE"}}]).replace(
            b'"HERE"', b'{"a":' * 990 + b"1" + b"}" * 990
        ), 400, "invalid_request",
    ),
    "a turn of nulls": (
        chat(messages=[USER, {"role": "assistant", "content": None, "tool_calls": None}]), 400,
        "invalid_request",
    ),
    "five stops": (chat(stop=["a", "b", "c", "d", "e"]), 400, "invalid_request"),
    "negative temperature": (chat(temperature=-1), 400, "invalid_request"),
    "max_tokens 0": (chat(max_tokens=0), 400, "invalid_request"),
    "n 0": (chat(n=0), 400, "invalid_request"),
    "wrong type": (chat(stream="yes"), 400, "invalid_request"),
    "unknown model": (chat(model="gpt-9"), 404, "model_not_found"),
    "beyond the context": (
        chat(messages=[{"role": "user", "content": "x" * 900_000}]), 400,
        "context_length_exceeded",
    ),
    "10,000 messages beyond the context": (
        chat(messages=[{"role": "user", "content": "x" * 100}] * 10_000), 400,
        "context_length_exceeded",
    ),
}  # fmt: skip
