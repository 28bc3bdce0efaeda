"""Puts back into an upstream's answer what left as placeholders: events or a document, as they
come. Placeholders in lists of tokens and log-probabilities stay: they are what the model said.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from deployments.privacy.masks import Restorer
from deployments.protocol.errors import EngineFailure
from deployments.upstream.sse import DONE, Event, EventParser
from deployments.upstream.stream import MAX_ANSWER_BYTES

# What a model says in text; arguments are text as well, in JSON.
TEXTS = ("content", "text", "reasoning", "reasoning_content", "refusal")


def restored(
    read: AsyncIterator[bytes], masks: Mapping[str, str], is_stream: bool
) -> AsyncIterator[bytes]:
    """The answer's bytes, with every original in its place."""
    if not masks:
        return read
    return _events(read, masks) if is_stream else _document(read, masks)


async def _events(read: AsyncIterator[bytes], masks: Mapping[str, str]) -> AsyncIterator[bytes]:
    parser, choices = EventParser(), _Choices(masks)
    async for some in read:
        for event in parser.feed(some):
            yield _written(event, choices)
    for event in parser.end():
        yield _written(event, choices)


def _written(event: Event, choices: "_Choices") -> bytes:
    """The event with what is certain of its texts; as it came, where it is none of an answer."""
    name = b"event: " + event.name + b"\n" if event.name else b""
    data = event.data.replace(b"\n", b"\ndata: ")
    if event.data != DONE:
        try:
            chunk = json.loads(event.data)
            choices.restore(chunk)
            data = json.dumps(chunk).encode()
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # the reader of the answer will say what is wrong with it
    return name + b"data: " + data + b"\n\n"


async def _document(read: AsyncIterator[bytes], masks: Mapping[str, str]) -> AsyncIterator[bytes]:
    raw = bytearray()
    async for some in read:
        raw += some
        if len(raw) > MAX_ANSWER_BYTES:
            raise EngineFailure("The upstream's answer is too large.")
    try:
        document = json.loads(raw)
        _Choices(masks).restore(document)
    except (ValueError, TypeError, AttributeError, RecursionError):
        yield bytes(raw)
        return
    yield json.dumps(document).encode()


class _Choices:
    """The texts of all choices of one answer, each of which may end within a placeholder."""

    def __init__(self, masks: Mapping[str, str]) -> None:
        self._originals = masks
        self._open: dict[tuple[Any, ...], Restorer] = {}

    def restore(self, chunk: dict[str, Any]) -> None:
        """Restore the texts of a chunk or a document in place."""
        for choice in chunk.get("choices") or ():
            number, last = choice.get("index"), bool(choice.get("finish_reason"))
            self._texts(choice, (number,), last)
            said = choice.get("delta") or choice.get("message")
            if said is None and last and self._waits((number, "said")):
                said = choice["delta"] = {}
            if isinstance(said, dict):
                self._texts(said, (number, "said"), last)
                self._calls(said, (number, "calls"), last)

    def _texts(self, holder: dict[str, Any], place: tuple[Any, ...], last: bool) -> None:
        for name in TEXTS:
            if isinstance(holder.get(name), str) or (last and self._waits((*place, name))):
                piece = holder.get(name) or ""
                holder[name] = self._piece((*place, name), piece, last)

    def _calls(self, said: dict[str, Any], place: tuple[Any, ...], last: bool) -> None:
        calls = said.get("tool_calls") or []
        for position, call in enumerate(calls):
            number = call.get("index", position)
            function = call.get("function")
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                piece = function["arguments"]
                function["arguments"] = self._piece((*place, number), piece, last, in_json=True)
        if not last:
            return
        for key in [key for key in self._open if key[:2] == place]:
            rest = self._open.pop(key).end()
            if rest:
                calls.append({"index": key[2], "function": {"arguments": rest}})
                said["tool_calls"] = calls

    def _waits(self, place: tuple[Any, ...]) -> bool:
        return any(key[: len(place)] == place and self._open[key].waits for key in self._open)

    def _piece(self, place: tuple[Any, ...], piece: str, last: bool, in_json: bool = False) -> str:
        restorer = self._open.setdefault(place, Restorer(self._originals, in_json))
        text = restorer.feed(piece)
        return text + restorer.end() if last else text
