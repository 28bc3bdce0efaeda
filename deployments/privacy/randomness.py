"""Whether a value was drawn by chance: letters that follow each other as in no word, or digits."""

import re
from itertools import pairwise

# 96 of 100 pairs of letters in the words of English and of Python's library; of random letters 44.
_FOLLOWERS = {
    "a": "bcdfgiklmnprstuvwxy", "b": "aceijlorsuy", "c": "acehiklmorstuy", "d": "adeilorstu",
    "e": "abcdefgilmnopqrstuvwxy", "f": "aefilorstu", "g": "aeghilnorsu", "h": "aeiortu",
    "i": "abcdefglmnoprstvxz", "j": "e", "k": "aeils", "l": "acdefilmopstuy", "m": "abeilmopsu",
    "n": "acdefgiklnopstuvy", "o": "abcdfgiklmnoprstuvwx", "p": "aehiloprstuy", "q": "u",
    "r": "abcdefgiklmnoprstuvy", "s": "acehiklmopstuwy", "t": "acdefhilmnoprstuwy",
    "u": "abcdefgilmnprst", "v": "aeio", "w": "aehinors", "x": "ceipt", "y": "emnpst", "z": "ei",
}  # fmt: skip
_LETTERS = re.compile("[A-Za-z]{2,}")
_REFERENCE = re.compile(r"[a-z_]+\d?(?:\.[a-z_]+)*")
# What a value must have beyond the half point that each of its pairs is short of: of 32 random
# letters one in 30,000 has less, of the names in code of eight letters and more one in 200 as much.
_ENOUGH = 6


def is_random(value: str) -> bool:
    """Whether a value mixes letters with digits, as words and references in code rarely do, or has
    letters that do not make words."""
    digits = sum(map(str.isdigit, value))
    letters = sum(map(str.isalpha, value))
    if digits and letters >= 2:
        return not _REFERENCE.fullmatch(value)
    return not digits and _is_gibberish(value)


def _is_gibberish(value: str) -> bool:
    points, pairs = 0, 0
    mixed = not (value.islower() or value.isupper())
    for run in _LETTERS.findall(value):
        pairs += len(run) - 1
        points += sum(_points(a, b, mixed) for a, b in pairwise(run))
    return 2 * points + pairs >= 2 * _ENOUGH


def _points(a: str, b: str, mixed: bool) -> int:
    """For chance where positive: a pair that words do not have, a change of case."""
    # In CamelCase a word begins, whatever the one before ends with.
    begins = a.islower() and b.isupper()
    points = 0 if begins else -1 if b.lower() in _FOLLOWERS[a.lower()] else 3
    if not mixed or (a.isupper() and b.isupper()):
        return points
    return points + (1 if a.isupper() != b.isupper() else -1)
