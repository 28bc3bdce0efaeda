"""Text that runs in circles: one token again and again, or a loop at its end."""

import unicodedata
from typing import NamedTuple

# How far back an end is searched; a loop of longer units has not been seen.
TAIL_CHARS = 1000
# A loop at an end takes so many characters, or is all there is and stands there so often: a hold is
# over after a few tokens, and many a token is one character.
LEAST_CHARS = 24
REPEATS_OF_ALL = 12
REPEATS = 6
# What people draw rulers, tables, vectors and brackets with stands there often, and by no accident.
# Letters, emoji and the marks of a sentence, such as the one that a broken quantisation emits, do
# not.
REPEATS_OF_DRAWN = 32
_DRAWN = frozenset("0123456789-_=*~#.,:;|+<>/\\()[]{}&%$^'\"` ")
_LINES = range(0x2500, 0x25A0)
# White space that ends an answer, or is all of it: this much is an accident.
BLANK_CHARS = 32
# A label on each line of an answer is right as often as there were lines to label.
REPEATS_OF_LABEL = 32
LABEL_WORDS = 4


class Loop(NamedTuple):
    """What a text ends in again and again."""

    unit: str
    repeats: int
    # Of the text, in (0, 1].
    share: float
    # Whether the unit is on a line of its own.
    in_lines: bool

    @property
    def is_label(self) -> bool:
        """Whether the unit is as short as a label, a table's row or a word."""
        words = "".join(char if char.isalnum() else " " for char in self.unit).split()
        return bool(self.unit.strip()) and len(words) <= LABEL_WORDS


def is_blank(text: str) -> bool:
    """Whether there is nothing to see in the text: white space, marks of no width, controls.

    >>> is_blank(" \\n\\u200b\\ufeff"), is_blank(" .")
    (True, False)
    """
    return all(char.isspace() or unicodedata.category(char) in ("Cc", "Cf") for char in text)


def loops(text: str) -> bool:
    """Whether the text ends in one unit that stands there many times, and nothing after it."""
    return loop_of(text) is not None


def may_loop(beginning: str) -> bool:
    """Whether a beginning of an answer, so far, is one thing said twice, or nothing but signs.

    >>> [may_loop(said) for said in ("!", "no no", "no, no", "Paris", "No, not")]
    [True, True, True, False, False]
    """
    said = " ".join(beginning.split())
    if not any(char.isalnum() for char in said):
        return True
    length, period = (_periods(said) or [(0, 0)])[-1]
    # What stands between two of them has not been seen after the last.
    return length == len(said) and 2 * period <= length + 2


def loop_share(text: str) -> float:
    """The part of the text, in [0, 1], that its loop takes; 0: it ends in none.

    >>> loop_share("Well, " + "no, " * 20) > 0.9
    True
    >>> loop_share("| a | b |\\n|---|---|\\n| 1 | 2 |")
    0.0
    """
    loop = loop_of(text)
    return loop.share if loop else 0.0


def loop_of(text: str) -> Loop | None:
    """The longest loop that the text ends in; None: it ends in none."""
    raw = text[-TAIL_CHARS:]
    blank = len(raw) - len(raw.rstrip())
    if blank >= BLANK_CHARS:
        return Loop(raw[-1], blank, blank / len(raw), False)
    tail = " ".join(raw.split())[::-1]
    lines, longest = raw.strip().count("\n") + 1, None
    for length, period in _periods(tail):
        repeats = -(-length // period)
        drawn = all(char in _DRAWN or ord(char) in _LINES for char in tail[:period])
        least = REPEATS_OF_DRAWN if drawn else REPEATS
        of_all = length == len(tail) and repeats >= max(least, REPEATS_OF_ALL)
        if of_all or length >= max(LEAST_CHARS, least * period):
            unit = tail[:period][::-1]
            longest = Loop(unit, repeats, length / len(tail), lines >= repeats)
    return longest


def _periods(text: str) -> list[tuple[int, int]]:
    """Each beginning of the text with the shortest unit that it repeats (Knuth, Morris, Pratt)."""
    border = [0] * len(text)
    found = []
    for at in range(1, len(text)):
        back = border[at - 1]
        while back and text[at] != text[back]:
            back = border[back - 1]
        border[at] = back + (text[at] == text[back])
        if border[at]:
            found.append((at + 1, at + 1 - border[at]))
    return found
