"""Bytes to a JSON object, bounded before anything that recurses or allocates sees them."""

import re
from typing import Any

import orjson

from deployments.protocol.errors import InvalidRequest

# Objects and arrays inside one another, in the whole body. OpenAI allows schemas of 10 levels,
# vLLM's grammars 64; Python's own JSON, pickle and copy end in `RecursionError` short of 1,000.
MAX_DEPTH = 64
# Objects and arrays in one body. Each costs some 100 bytes and half a microsecond; the longest
# conversation that is let in (`messages.MAX_MESSAGES`) with several parts and calls a message has a
# fifth of it.
MAX_CONTAINERS = 200_000

# One that nobody closed too, so that brackets in it do not count.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def load_object(raw: bytes) -> dict[str, Any]:
    """The object that a body holds; of a key that it has twice the last value, as everywhere.

    Raises: `InvalidRequest`, with nothing of the body in it.
    """
    _check_size(raw)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # orjson's message may quote nothing of the body, and its position is safe and useful.
        mistake = f"{error.msg.split(':')[0]} (line {error.lineno}, column {error.colno})"
        raise InvalidRequest(f"The body is not valid JSON: {mistake}.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body


def too_deep(text: str) -> bool:
    """Whether JSON inside a string, as a tool call's arguments are, nests deeper than a body may.

    Looks at brackets only: what is not JSON is not this function's affair.
    """
    raw = text.encode(errors="replace")
    return raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deeper(_brackets(raw))


def _check_size(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    brackets = _brackets(raw)
    if brackets.count(b"[") > MAX_CONTAINERS:
        raise InvalidRequest(f"The body has more than {MAX_CONTAINERS} objects and arrays.")
    if _deeper(brackets):
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _brackets(raw: bytes) -> bytes:
    """The brackets outside strings, all of one kind: a parser tells the kinds apart."""
    return _STRING.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)


def _deeper(brackets: bytes) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`: each round takes the innermost pairs away."""
    for _ in range(MAX_DEPTH):
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            # What is left has no partner: not JSON, and deep only where it opens so often.
            return brackets.count(b"[") > MAX_DEPTH
        brackets = fewer
    return bool(brackets)
