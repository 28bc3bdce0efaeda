"""Bytes to a JSON object, bounded before anything that recurses or allocates sees them."""

from typing import Any

import orjson

from deployments.protocol.errors import InvalidRequest

# Objects and arrays inside one another, in the whole body. OpenAI allows schemas of 10 levels,
# vLLM's grammars 64; Python's own JSON, pickle and copy end in `RecursionError` short of 1,000.
MAX_DEPTH = 64
# Objects and arrays in one body, and keys of objects. Each costs some 100 bytes and a microsecond;
# the longest conversation that is let in (`messages.MAX_MESSAGES`) has a fifth of it.
MAX_CONTAINERS = 200_000
# Items of arrays and objects: a prompt of a million token ids, and what stands around it.
MAX_ITEMS = 2**20 + MAX_CONTAINERS

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STRUCTURE = b'[]{}:,"'
_NOT_STRUCTURE = bytes(set(range(256)) - set(_STRUCTURE))


def load_object(raw: bytes) -> dict[str, Any]:
    """The object that a body holds; of a key that it has twice the last value, as everywhere.

    Raises: `InvalidRequest`, with nothing of the body in it.
    """
    if len(raw) > MAX_CONTAINERS or _opened(raw) > MAX_DEPTH:
        _check_size(_structure(raw))
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
    return _opened(raw) > MAX_DEPTH and _deeper(_structure(raw))


def _opened(raw: bytes) -> int:
    return raw.count(b"[") + raw.count(b"{")


def _check_size(structure: bytes) -> None:
    if max(structure.count(b"["), structure.count(b":")) > MAX_CONTAINERS:
        raise InvalidRequest(f"The body has more than {MAX_CONTAINERS} objects, arrays or keys.")
    if structure.count(b",") > MAX_ITEMS:
        raise InvalidRequest(f"The body has more than {MAX_ITEMS} items.")
    if _deeper(structure):
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _structure(raw: bytes) -> bytes:
    """The brackets, colons and commas outside strings, brackets all of one kind.

    A few passes of C over the bytes, none long, so that other threads run between them: 8 MiB take
    some 50 ms. A string that nobody closed reaches to the end.
    """
    plain = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = plain.translate(_ONE_KIND, _NOT_STRUCTURE)
    # Nothing stands between two quotes in a row, whether they open and close or close and open.
    return b"".join(marks.replace(b'""', b"").split(b'"')[::2])


def _deeper(structure: bytes) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`: each round takes the innermost pairs away."""
    brackets = structure.translate(None, b":,")
    for _ in range(MAX_DEPTH):
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            # What is left has no partner: not JSON, and deep only where it opens so often.
            return brackets.count(b"[") > MAX_DEPTH
        brackets = fewer
    return bool(brackets)
