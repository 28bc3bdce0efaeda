"""Long texts in pieces: a pattern holds the interpreter until it has seen all that it was given,
and every open stream of the process waits for it, whatever thread it runs in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from deployments.privacy.detectors import Found

SLICE_CHARS = 32 * 2**10
# What is no longer, with the words that name it, stands whole in one of the pieces.
OVERLAP_CHARS = 8 * 2**10
# How far from its place a cut may move so that it stands between two words.
WORD_CHARS = 256


class Piece(NamedTuple):
    """A part of one of several texts."""

    text: int
    start: int
    end: int


def find_in_slices(
    find: Callable[[Sequence[str]], Iterable[Found]], texts: Sequence[str]
) -> Iterator[Found]:
    """What `find` finds in the texts, given a few pieces at a time."""
    seen: set[Found] = set()  # what stands where two pieces overlap is found twice
    for pieces in _together(chain.from_iterable(map(_pieces, range(len(texts)), texts))):
        for found in find([texts[piece.text][piece.start : piece.end] for piece in pieces]):
            piece = pieces[found.text]
            start, end = piece.start + found.start, piece.start + found.end
            there = Found(found.kind, piece.text, start, end)
            if there not in seen:
                seen.add(there)
                yield there


def _together(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces in order, as many at a time as are no longer than one may be."""
    held: list[Piece] = []
    chars = 0
    for piece in pieces:
        size = piece.end - piece.start
        if held and chars + size > SLICE_CHARS:
            yield held
            held, chars = [], 0
        held.append(piece)
        chars += size
    if held:
        yield held


def _pieces(number: int, text: str) -> Iterator[Piece]:
    start = 0
    while len(text) - start > SLICE_CHARS:
        end = _between_words(text, start + SLICE_CHARS)
        yield Piece(number, start, end)
        start = _between_words(text, end - OVERLAP_CHARS)
    yield Piece(number, start, len(text))


def _between_words(text: str, at: int) -> int:
    """The end of the last space before this place, if one is near."""
    return max(text.rfind(space, at - WORD_CHARS, at) for space in " \n") + 1 or at
