"""Text that runs in circles: one token again and again, or a loop at its end."""

# How far back an end is searched; a loop of longer units has not been seen.
TAIL_CHARS = 1000
# Ways to write this much again and again that are not an accident: a ruler, a row of a table, a
# vector of zeros. Letters in the unit, or the exclamation mark that a broken quantisation emits,
# make it one.
LEAST_CHARS = 24
REPEATS = 6
REPEATS_WITHOUT_LETTERS = 32


def loops(text: str) -> bool:
    """Whether the text ends in one unit that stands there many times, and nothing after it."""
    return loop_share(text) > 0


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
    tail = " ".join(text[-TAIL_CHARS:].split())[::-1]
    longest = 0
    for length, period in _periods(tail):
        unit = tail[:period]
        lettered = any(char.isalpha() or char == "!" for char in unit)
        repeats = REPEATS if lettered else REPEATS_WITHOUT_LETTERS
        if length >= max(LEAST_CHARS, repeats * period):
            longest = length
    return longest / len(tail) if longest else 0.0


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
