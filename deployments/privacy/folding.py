r"""Text as a reader sees it, in ASCII where it looks like ASCII: what detectors look at.

Undone are look-alikes (Cyrillic а, fullwidth ４, 𝟒), invisible characters inside a word, and one
level of escapes (`\u0040`, `%40`, `&#64;`) as they stand in JSON or a URL inside a text.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

ESCAPE = re.compile(
    r"\\u(?P<json>[0-9a-fA-F]{4})|\\(?P<short>[nrtbf\"/\\])|%(?P<url>[2-7][0-9a-fA-F])"
    r"|&#(?P<decimal>\d{1,7});|&#[xX](?P<hex>[0-9a-fA-F]{1,6});|&(?P<named>commat|period|nbsp);"
)
_UNIT = re.compile(f"{ESCAPE.pattern}|.", re.DOTALL)
# ASCII that may not be what it looks like: beginnings of escapes, control characters.
_ODD = re.compile(r"[\\%&\x00-\x08\x0b-\x1f\x7f]")
_SHORT = {"n": "\n", "r": "\n", "t": "\t", "b": " ", "f": " ", '"': '"', "/": "/", "\\": "\\"}
_NAMED = {"commat": "@", "period": ".", "nbsp": " "}
# Letters that fonts draw as Latin ones (Unicode TR 39's confusables, those of whole alphabets);
# digits, and the letters of mathematics, fullwidth and circles, follow from Unicode's own data.
_LOOKALIKES = {
    like: plain
    for likes, plains in (
        ("аеорсухіјѕһԁԛԝкмтвн", "aeopcyxijshdqwkmtbh"),  # Cyrillic
        ("АВЕКМНОРСТХІЈЅУЗҮҺԌԚԜ", "ABEKMHOPCTXIJSY3YhGQW"),
        ("αοορνυικ", "aoopvuik"),  # Greek
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("օսոցԱՕՍ", "ounguOU"),  # Armenian
        ("ıɡɑ。·∙•", "iga...."),
    )
    for like, plain in zip(likes, plains, strict=True)
}


@dataclass(frozen=True)
class Folded:
    """A folded text, and where its characters come from."""

    text: str
    original: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that folded to `text[start:end]`."""
        if self.text is self.original:
            return start, end
        return self._starts[start], self._starts[end]

    @cached_property
    def _starts(self) -> Sequence[int]:
        # Kept: a text may hold as many finds as words.
        return _starts(self.original)


def fold(text: str) -> Folded:
    """The text as it looks."""
    if text.isascii() and not _ODD.search(text):
        return Folded(text, text)
    return Folded(seen(ESCAPE.sub(_unescaped, text)), text)


def seen(text: str) -> str:
    """What the characters look like, without regard to escapes."""
    return text.translate(_TABLE)


def _starts(original: str) -> Sequence[int]:
    """Where each character of the folded text begins in the original, and where that ends."""
    starts: list[int] = []
    for unit in _UNIT.finditer(original):
        starts += [unit.start()] * len(seen(ESCAPE.sub(_unescaped, unit[0])))
    return [*starts, len(original)]


def _unescaped(match: re.Match[str]) -> str:
    """The character that an escape stands for; a space where it stands for none."""
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    if kind == "short":
        return _SHORT[value]
    if kind == "named":
        return _NAMED[value]
    code = int(value, 10 if kind == "decimal" else 16)
    return chr(code) if code <= 0x10FFFF else " "


class _Table(dict[int, str | None]):
    """What each character looks like, worked out when it is first met."""

    def __missing__(self, code: int) -> str | None:
        character = self[code] = _seen(chr(code))
        return character


def _seen(character: str) -> str | None:
    """One character that it looks like; None where nothing is seen."""
    if character in "\t\n" or " " <= character <= "~":
        return character
    if character == "\r":
        return "\n"
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Mn", "Me") or character in "\u115f\u1160\u3164\uffa0":
        return None
    if category == "Pd" or character == "\u2212":
        return "-"
    if category[0] == "Z":
        return " " if category == "Zs" else "\n"
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKD", character)[0]
    plain = _LOOKALIKES.get(plain, plain)
    return plain if plain.isascii() else character


_TABLE = _Table()
