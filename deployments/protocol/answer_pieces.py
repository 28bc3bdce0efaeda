"""The values in a chat's answer in the types that they should have.

Servers that call themselves compatible send others: texts as lists of parts, arguments as objects.
What can be read is; what cannot is the engine's failure, before anything is told of it.
"""

from collections.abc import Iterator
from typing import Any, Literal

import orjson

from deployments.protocol.errors import EngineFailure

Kind = Literal["reasoning", "text", "refusal", "call"]
# The keys of a message or a delta, as OpenAI's servers, vLLM and others spell them.
_SAID: tuple[tuple[str, Kind], ...] = (
    ("reasoning", "reasoning"),
    ("reasoning_content", "reasoning"),
    ("content", "text"),
    ("refusal", "refusal"),
)


def malformed() -> EngineFailure:
    """What is no chat's answer."""
    return EngineFailure("The model's answer is malformed.")


def said(delta: dict[str, Any]) -> Iterator[tuple[Kind, str]]:
    """The texts in a delta or a message, none of them empty. Raises: `EngineFailure`."""
    known: set[Kind] = set()
    for key, kind in _SAID:
        # Some servers say their reasoning under both names.
        if kind not in known and (texts := [t for t in _texts(delta.get(key), kind) if t[1]]):
            known.add(kind)
            yield from texts


def _texts(value: Any, kind: Kind) -> Iterator[tuple[Kind, str]]:
    """A text, or a list of parts, of which those that are no text (references) are left out."""
    if isinstance(value, list):
        for part in value:
            if not isinstance(part, dict):
                raise malformed()
            yield from _texts(part.get("text"), kind)
            yield from _texts(part.get("thinking"), "reasoning")
    elif value is not None:
        yield kind, text(value)


def text(value: Any) -> str:
    """A text; none is empty. Raises: `EngineFailure`."""
    if value is None or isinstance(value, str):
        return value or ""
    raise malformed()


def arguments(value: Any) -> str:
    """A call's arguments as JSON. Raises: `EngineFailure`."""
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else text(value)


def objects(value: Any) -> list[dict[str, Any]]:
    """A list of objects; none is empty. Raises: `EngineFailure`."""
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise malformed()


def fields(value: Any) -> dict[str, Any]:
    """An object; none is empty. Raises: `EngineFailure`."""
    if value is None or isinstance(value, dict):
        return value or {}
    raise malformed()


def logprobs(value: Any) -> list[dict[str, Any]]:
    """The log-probabilities of a text's tokens. Raises: `EngineFailure`."""
    tokens = objects(fields(value).get("content"))
    for token in tokens:
        for one in (token, *objects(token.get("top_logprobs"))):
            number = isinstance(one.get("logprob"), int | float)
            if not (isinstance(one.get("token"), str) and number):
                raise malformed()
            if not isinstance(one.get("bytes"), list | None):
                raise malformed()
    return tokens


def usage(value: Any) -> dict[str, Any]:
    """What of the usage are counts: what is none was counted on the way."""
    given = value if isinstance(value, dict) else {}
    kept: dict[str, Any] = _counts(given)
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        if isinstance(given.get(name), dict):
            kept[name] = _counts(given[name])
    return kept


def _counts(given: dict[str, Any]) -> dict[str, int]:
    return {n: v for n, v in given.items() if type(v) is int and v >= 0}
