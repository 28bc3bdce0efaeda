"""E-mail addresses and telephone numbers."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumber

from deployments.privacy.pictures import Picture

# RFC 5321, 4.5.3.1.1.
MAX_LOCAL_CHARS = 64
# Letters of every script: RFC 6531 (local parts), RFC 5890 (domains).
_LOCAL = re.compile(r"(?:[\w!#$%&'*+/=?^`{|}~-][\w.!#$%&'*+/=?^`{|}~-]*)\Z")
# An ASCII domain first: what follows it may be text of a script without spaces, or `_`.
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}"
    r"(?:[A-Za-z]{2,24}|[xX][nN]--[A-Za-z0-9-]{2,59})(?![A-Za-z0-9-])"
    r"|(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}(?:[xX][nN]--[A-Za-z0-9-]{2,59}|[^\W\d_]{2,24})"
)

CONTEXT_CHARS = 32
MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 7, 15
# The longest number with three characters between any two of its digits would be a line of its own.
MAX_PHONE_CHARS = 32
_RUN = re.compile(rb"9(?:[ ().\-/]{0,3}9){6,}")
_NOT_DIGITS = dict.fromkeys(map(ord, "+() .-/"))
# As a word, or as a name in data: `phone_number`, `mobile_no`, `homePhone`.
_SAYS_PHONE = re.compile(
    r"(?:(?i:(?<![a-z])(?:tel|fon|telefon|telephone|phone|call|mobile|cell|fax|whatsapp|text|sms"
    r"|ring|reach))|(?<=[a-z])(?:Tel|Telephone|Phone|Mobile|Fax))"
    r"(?:[_-]?(?i:no|nr|num|number|phone))?\d?(?![A-Za-z])"
)
# Written as numbers of a country are, not as an amount, a date or an article.
_WRITTEN = re.compile(r"\(\d{2,5}\)[ \-]?\d|\d{3}[-. ]\d{3}[-. ]\d{4}(?!\d)|0\d{2,4}[ \-/]\d{3}")
# Digits of one number and its extension; in longer runs `00` is no prefix but part of a group.
MAX_RUN_DIGITS = 20


def find_emails(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of every address in a folded text."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - MAX_LOCAL_CHARS), at)
        domain = _DOMAIN.match(text, at + 1) if local else None
        if local and domain:
            yield "email", local.start(), domain.end()
        at = text.find("@", at + 1)


class Phones:
    """Finds numbers with `+` of all countries, and without it of those that are named."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._codes = tuple(map(phonenumbers.country_code_for_region, regions))

    def find(self, text: str, picture: Picture) -> Iterator[tuple[str, int, int]]:
        """Kind, start and end of every number in a folded text."""
        for run in _RUN.finditer(picture.drawn):
            at, crowded = run.start(), run[0].count(b"9") > MAX_RUN_DIGITS
            while at < run.end():
                start = at - 1 if text[at - 1 : at] in ("+", "(") else at
                start = start - 1 if start and text[start - 1] == "+" else start
                end = self._end(text, start, run.end(), crowded)
                if end is not None:
                    yield "phone", start, end
                # Several numbers stand in one run: the next begins behind a space.
                space = text.find(" ", at, run.end()) if end is None else end
                at = run.end() if space < 0 else _digit_from(picture, space)

    def _end(self, text: str, start: int, end: int, crowded: bool) -> int | None:
        """Where a number ends that starts here; the whole run, or before one of its spaces."""
        if start and (text[start - 1].isalnum() or text[start - 1] in "./_"):
            return None
        abroad = text[start] == "+" or (text.startswith("00", start) and not crowded)
        is_called_so = _SAYS_PHONE.search(text, max(0, start - CONTEXT_CHARS), start)
        # What is given to a name of another kind is an id, an amount or base64.
        form_tells = text[start - 1 : start] != "=" and (abroad or _WRITTEN.match(text, start))
        if not (form_tells or is_called_so):
            return None
        if end - start > MAX_PHONE_CHARS:
            end = text.rfind(" ", start, start + MAX_PHONE_CHARS)
        while end > start:
            written = text[start:end]
            digits = len(_digits(written))
            if digits < MIN_PHONE_DIGITS:
                return None
            if digits <= MAX_PHONE_DIGITS and self._is_phone(written, abroad):
                return end
            end = text.rfind(" ", start, end)
        return None

    def _is_phone(self, written: str, abroad: bool) -> bool:
        digits = _digits(written)
        if abroad and _international(digits.removeprefix("00")):
            return True
        return written[0] != "+" and any(_national(code, digits) for code in self._codes)


def _digits(written: str) -> str:
    return written.translate(_NOT_DIGITS)


def _digit_from(picture: Picture, at: int) -> int:
    """The next digit; the end where there is none."""
    found = picture.drawn.find(b"9", at)
    return found if found >= 0 else len(picture.drawn)


def _international(digits: str) -> bool:
    """Whether these digits are a country's code and a number in it."""
    codes = (digits[:length] for length in (1, 2, 3))
    code = next((code for code in codes if int(code or 0) in COUNTRY_CODE_TO_REGION_CODE), None)
    if code is None:
        return False
    # Some write the prefix that is dialled inside the country: +44 (0)20 …
    national = digits[len(code) :]
    return _valid(int(code), national) or (national[:1] == "0" and _valid(int(code), national[1:]))


def _national(code: int, digits: str) -> bool:
    """Whether these digits are dialled so inside the country."""
    prefix = _prefix(code)
    if prefix and digits.startswith(prefix) and _valid(code, digits[len(prefix) :]):
        return True
    # In North America the prefix is dialled and rarely written.
    return prefix in ("", "1") and _valid(code, digits)


@lru_cache(maxsize=4096)
def _valid(code: int, national: str) -> bool:
    """Whether a number exists in the country's plan; its general form is looked at first, which is
    a hundred times faster."""
    if not any(form(national) for form in _forms(code)):
        return False
    zero = national.startswith("0") or None
    return phonenumbers.is_valid_number(PhoneNumber(code, int(national), italian_leading_zero=zero))


@lru_cache
def _forms(code: int) -> list[Callable[[str], object]]:
    regions = COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    plans = [PhoneMetadata.metadata_for_region_or_calling_code(code, region) for region in regions]
    forms = [plan.general_desc for plan in plans if plan and plan.general_desc]
    patterns = [form.national_number_pattern for form in forms]
    return [re.compile(pattern).fullmatch for pattern in patterns if pattern]


@lru_cache
def _prefix(code: int) -> str:
    """What is dialled before a number inside its country."""
    region = COUNTRY_CODE_TO_REGION_CODE[code][0]
    return phonenumbers.ndd_prefix_for_region(region, True) or ""
