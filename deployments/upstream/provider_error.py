"""Finds what went wrong in a provider's error body, which each of them shapes in its own way.

OpenAI nests `error.message`, FastAPI lists `detail`, Google wraps its object in a list, gateways
put the JSON text of the provider behind them into a string. Only fields that describe the error
are read: some bodies repeat the request, which is not ours to pass on.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

# Fields that hold words about the error, or an object that does. What lies deepest stands first: it
# is nearer to the cause than a gateway's "Provider returned error".
DESCRIBING = (
    "metadata", "raw", "message", "Message", "msg", "error", "errors", "detail", "details",
    "error_message", "error_msg", "description", "reason",
)  # fmt: skip
# One of these instead of choices is an error without the object around it.
BARE = ("detail", "message", "error_code", "error_msg", "error_message")
# Finish reasons of answers that were given up: of relays, z.AI, DeepSeek, SGLang and vLLM.
FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
CODING = ("code", "type", "status", "error_type", "__type")
CODE = re.compile(r"[\w.\-]{1,64}")
MAX_DEPTH = 8
MAX_PARTS = 50
# A complaint is a few sentences; what is longer is a dump, and searching it would take time that
# all requests of a replica share.
MAX_TEXT_CHARS = 1500


class ProviderError(NamedTuple):
    """A provider's complaint: its words, its codes, and the request field that it names."""

    # What it says first, its cause; empty where it says nothing.
    message: str
    # All that it says, line by line.
    text: str
    # Its names of the error, lower case, separated by spaces.
    code: str
    param: str | None
    # The HTTP status that the body names, for an error that came with a 200.
    status: int | None


def read_error(body: bytes) -> ProviderError:
    """The complaint in an error's body, JSON or plain text."""
    try:
        return error_in(json.loads(body))
    except (ValueError, RecursionError):
        return error_in(_plain(body))


def error_in(parsed: Any) -> ProviderError:
    """The complaint in parsed JSON."""
    texts: list[str] = []
    objects: list[dict[str, Any]] = []
    for part, _ in zip(_parts(parsed, 0), range(MAX_PARTS), strict=False):
        if isinstance(part, str):
            texts.append(part[:MAX_TEXT_CHARS])
        else:
            objects.append(part)
    codes = [one.get(key) for one in objects for key in CODING]
    return ProviderError(
        message=texts[0] if texts else "",
        text="\n".join(texts)[: 2 * MAX_TEXT_CHARS],
        code=" ".join(code for code in codes if _is_code(code)).lower(),
        param=next((param for one in objects if (param := _param(one))), None),
        status=next((code for code in codes if _is_status(code)), None),
    )


def failure_in(answer: Any) -> ProviderError | None:
    """The complaint that stands in an event, or a document, in the place of an answer; None: it is
    one. vLLM and FastAPI send theirs bare, aggregators inside a choice or as its finish reason."""
    if not isinstance(answer, dict):
        return None
    choices = answer.get("choices")
    if answer.get("error") or (not choices and _is_bare_error(answer)):
        return error_in(answer)
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (
            choice.get("error") or str(choice.get("finish_reason")) in FAILED
        ):
            return error_in(choice.get("error"))
    return None


def _is_bare_error(answer: dict[str, Any]) -> bool:
    return answer.get("object") == "error" or any(map(answer.get, BARE))


def _parts(node: Any, depth: int) -> Iterator[str | dict[str, Any]]:
    """The texts and the objects that describe an error, those nearest to its cause first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(node, str):
        yield from _text_parts(node, depth)
    elif isinstance(node, list):
        for one in node:
            yield from _parts(one, depth + 1)
    elif isinstance(node, dict):
        for key in DESCRIBING:
            if key in node:
                yield from _parts(node[key], depth + 1)
        yield node


def _text_parts(text: str, depth: int) -> Iterator[str | dict[str, Any]]:
    """A text, or what is inside where it is JSON itself."""
    if depth and text.lstrip().startswith(("{", "[")):
        try:
            yield from _parts(json.loads(text), depth + 1)
            return
        except (ValueError, RecursionError):
            pass
    if text.strip():
        yield text


def _plain(body: bytes) -> str:
    """A body that is not JSON, if it is a sentence and not a page."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return ""
    return "" if text.lstrip().startswith("<") else text


def _is_code(code: Any) -> TypeGuard[str]:
    return isinstance(code, str) and CODE.fullmatch(code) is not None


def _is_status(code: Any) -> bool:
    return type(code) is int and 400 <= code < 600


def _param(error: dict[str, Any]) -> str | None:
    """The request field that an error names: OpenAI's `param`, FastAPI's `loc`."""
    param, place = error.get("param"), error.get("loc")
    if isinstance(place, list) and place:
        names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
        param = "".join(names).removeprefix(".body").removeprefix(".")
    return param if isinstance(param, str) and 0 < len(param) < 64 else None
