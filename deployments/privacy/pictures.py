"""A text with its letters and digits levelled: `call 0171-55` is `AAAA 9999-99`.

How a number is written is then a word to search for, which takes microseconds where a regular
expression takes hundreds.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

_LEVELLED = bytes(
    57 if chr(code).isdigit() else 65 if chr(code).isalpha() else code for code in range(128)
) + bytes(128)
_ALNUM = b"A9"
_DIGITS = re.compile(rb"9+")


@lru_cache
def _rows(picture: bytes) -> frozenset[int]:
    """How many digits stand in a row in a picture."""
    return frozenset(map(len, _DIGITS.findall(picture)))


class Picture:
    """The picture of one text; every place in it is the same place in the text."""

    def __init__(self, text: str) -> None:
        self.drawn = text.encode("ascii", "replace").translate(_LEVELLED)
        self._rows = _rows.__wrapped__(self.drawn)

    def places(self, picture: bytes) -> Iterator[tuple[int, int]]:
        """Where something is written so, and is no part of a longer word or row of groups."""
        drawn, length = self.drawn, len(picture)
        if not _rows(picture) <= self._rows:
            return
        inner = {bytes((byte,)) for byte in picture} - {b"A", b"9"}
        at = drawn.find(picture)
        while at >= 0:
            end = at + length
            if self.is_edge(at, end) and not self._goes_on(at, end, inner):
                yield at, end
            at = drawn.find(picture, at + 1)

    def is_edge(self, start: int, end: int) -> bool:
        """Whether no word runs over the start or the end of a place."""
        drawn = self.drawn
        open_start = start > 0 and drawn[start - 1] in _ALNUM and drawn[start : start + 1].isalnum()
        open_end = end < len(drawn) and drawn[end] in _ALNUM and drawn[end - 1 : end].isalnum()
        return not (open_start or open_end)

    def _goes_on(self, start: int, end: int, inner: set[bytes]) -> bool:
        """Whether digits stand before or behind, parted as the groups of this picture are."""
        drawn = self.drawn
        before, after = drawn[max(0, start - 2) : start], drawn[end : end + 2]
        return (before[:1] == b"9" and before[1:] in inner) or (
            after[1:] == b"9" and after[:1] in inner
        )
