"""Puts a streamed answer together to the document that the client asked for.

The merge of OpenAI's own clients, with nothing left out: texts are joined, lists of numbered items
(tool calls) are merged by number, other lists are joined (log-probabilities), and of everything
else the last value holds, also in fields that nobody here knows.
"""

import json
from typing import Any

from deployments.protocol.call_order import CallOrder
from deployments.protocol.errors import EngineFailure

OBJECTS = {"chat.completion.chunk": "chat.completion"}
# Texts that are said whole, and by some servers again with each piece.
WHOLE = frozenset({"id", "type", "role", "object", "format", "model", "name", "finish_reason"})


class _Text(list[str]):
    """A text in pieces: joined once, because a long answer has a hundred thousand of them."""


class _Calls(list[dict[str, Any]]):
    """The tool calls of a choice, each put together of its pieces."""

    def __init__(self) -> None:
        super().__init__()
        self._order = CallOrder()

    def take(self, pieces: list[Any]) -> "_Calls":
        """The calls with these pieces. Raises: `EngineFailure`."""
        for place, piece in enumerate(pieces):
            if not isinstance(piece, dict):
                raise EngineFailure("The upstream sent an event of another shape.")
            number = self._order.number(place, piece, self._is_whole)
            if number == len(self):
                self.append({})
            _merge(self[number], piece)
        return self

    def _is_whole(self, number: int) -> bool:
        """Whether a call has its name and all its arguments."""
        function = self[number].get("function")
        if not isinstance(function, dict) or not function.get("name"):
            return False
        told = function.get("arguments")
        try:
            json.loads("".join(told) if isinstance(told, _Text) else "")
        except ValueError:
            return isinstance(told, dict)
        return True


class Assembly:
    """A document that grows by an event at a time."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """Take in one event. Raises: `EngineFailure` for one that is nested without end."""
        try:
            for choice in chunk.get("choices") or ():
                _merge(self._choices.setdefault(number_of(choice), {}), choice)
        except RecursionError as error:
            raise EngineFailure("The upstream sent an event of another shape.") from error
        for key, value in chunk.items():
            if key not in ("choices", "usage") and value is not None:
                self._document[key] = value

    def document(self, usage: dict[str, Any]) -> bytes:
        """The answer as JSON. Raises: `EngineFailure` where there is no choice in it."""
        if not self._choices:
            raise EngineFailure("The upstream gave no answer.")
        kind = self._document.get("object")
        choices = [_whole(number, choice) for number, choice in sorted(self._choices.items())]
        whole = self._document | {"choices": choices, "usage": usage}
        if isinstance(kind, str):
            whole["object"] = OBJECTS.get(kind, kind)
        return json.dumps(whole, ensure_ascii=True).encode()


def number_of(item: dict[str, Any]) -> int:
    """The index of a choice; the first where it has none."""
    index = item.get("index")
    return index if type(index) is int else 0


def _whole(number: int, choice: dict[str, Any]) -> dict[str, Any]:
    """A choice of a document from the merged choices of events."""
    whole: dict[str, Any] = {"index": number} | _texts_joined(choice)
    said = whole.pop("delta", None)
    whole.setdefault("logprobs", None)
    whole.setdefault("finish_reason", None)
    if isinstance(said, dict):
        message: dict[str, Any] = {"role": "assistant", "content": None} | said
        message["role"] = message["role"] or "assistant"
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [_unnumbered(call) for call in calls]
        whole["message"] = message
    return whole


def _unnumbered(call: Any) -> Any:
    return {k: v for k, v in call.items() if k != "index"} if isinstance(call, dict) else call


def _merge(whole: dict[str, Any], piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        whole[key] = _merged(key, whole.get(key), value)


def _merged(key: str, before: Any, value: Any) -> Any:
    if value is None:
        return before
    if isinstance(value, str):
        return (value or before) if key in WHOLE else _text_after(key, before, value)
    if isinstance(value, list):
        return _list_after(key, before, value)
    if isinstance(value, dict):
        before = before if isinstance(before, dict) else {}
        _merge(before, value)
        return before
    return value


def _text_after(key: str, before: Any, value: str) -> Any:
    if key == "content" and type(before) is list:
        before += _parts_of(value)
        return before
    text = before if isinstance(before, _Text) else _Text()
    text.append(value)
    return text


def _list_after(key: str, before: Any, value: list[Any]) -> list[Any]:
    if key == "tool_calls":
        return (before if isinstance(before, _Calls) else _Calls()).take(value)
    if key == "content" and isinstance(before, _Text):
        before = _parts_of("".join(before))
    return _joined(before if type(before) is list else [], value)


def _parts_of(text: str) -> list[Any]:
    """A text where other pieces of it are lists of parts."""
    return [{"type": "text", "text": text}] if text else []


def _texts_joined(part: Any) -> Any:
    if isinstance(part, _Text):
        return "".join(part)
    if isinstance(part, list):
        return [_texts_joined(item) for item in part]
    if isinstance(part, dict):
        return {key: _texts_joined(value) for key, value in part.items()}
    return part


def _joined(before: list[Any], more: list[Any]) -> list[Any]:
    """Both lists in one; items that carry an index are merged with the item of that index."""
    for item in more:
        if not isinstance(item, dict) or type(item.get("index")) is not int:
            before.append(item)
            continue
        same = (
            one for one in before if isinstance(one, dict) and one.get("index") == item["index"]
        )
        found = next(same, None)
        if found is None:
            found = {}
            before.append(found)
        _merge(found, item)
    return before
