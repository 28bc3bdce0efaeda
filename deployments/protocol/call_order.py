"""Which call of an answer a piece of one belongs to, told alike to streams and documents.

OpenAI numbers the calls of an answer. Some servers leave the number out, or number every call 0,
and tell their calls apart by id, or only by the name that a new call begins with.
"""

from collections.abc import Callable
from typing import Any


class CallOrder:
    """Numbers the calls in the order that they begin in."""

    def __init__(self) -> None:
        # By index: the call that is under way there; and every call there by its id.
        self._last: dict[int, int] = {}
        self._named: dict[tuple[int, str], int] = {}
        self._ids: list[str] = []

    def number(self, place: int, call: dict[str, Any], is_whole: Callable[[int], bool]) -> int:
        """The number of a piece's call, the next one for a new call.

        `place` is the piece's own in its list; `is_whole`: whether a call has all its arguments.
        """
        index, given = call.get("index"), call.get("id")
        given = given if isinstance(given, str) else ""
        at = index if type(index) is int else place
        known = self._last.get(at)
        if known is not None and given and self._ids[known] not in ("", given):
            known = self._named.get((at, given))
        elif known is not None and not given and _begins(call) and is_whole(known):
            known = None
        if known is None:
            known = len(self._ids)
            self._ids.append("")
        self._ids[known] = self._ids[known] or given
        self._last[at] = known
        if given:
            self._named[at, given] = known
        return known


def _begins(call: dict[str, Any]) -> bool:
    """Whether a piece may be the first of its call: nothing follows whole arguments."""
    function = call.get("function")
    told = function if isinstance(function, dict) else {}
    return bool(told.get("name")) and bool(told.get("arguments"))
