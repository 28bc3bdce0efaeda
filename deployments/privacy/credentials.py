"""Keys, tokens and passwords: what opens something, in the forms that their issuers document."""

import re
from collections.abc import Iterator

from deployments.privacy.issuers import ISSUED, MIN_TOKEN_CHARS
from deployments.privacy.randomness import is_random

# To its end; a text that breaks off within a key, or behind its first line, has no end of one.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^\x1e]*?-----END [A-Z0-9 ]{1,60}-----|[^\x1e]*)"
)
# A password may hold `@` and, where no port stands in its place, `/`: the host follows the last
# `@`.
_URL = re.compile(
    r"(?<![A-Za-z0-9])[a-z][a-z0-9+.-]{1,30}://[^\s/:\"']{0,64}:"
    r"(?!\d{0,5}/)[^\s\"'<>`]{3,128}@(?=[\w.-])[\w.-]+",
    re.IGNORECASE,
)
_MARKED = (("PRIVATE KEY", _PRIVATE_KEY), ("://", _URL))
# A value given to a name that says what it is; a call or a variable in its place is code.
_GIVEN = (
    r"[\"']?\s{0,4}(?:[:=]{1,2}|\bis\b)\s{0,4}[\"']?"
    r"(?P<value>[\w!#$%&*+/=?@^~.-]{8,200})(?![\w(\[.])"
)
# Names of what people choose, of digits alone as well.
_PASSWORDS = ("passw", "pwd", "passphrase")
# By the word to search for: how the name goes on, and what is given to it.
_NAMED = {
    word: re.compile(end + _GIVEN, re.IGNORECASE)
    for word, end in (
        ("passw", "(?:or)?d"),
        ("pwd", ""),
        ("passphrase", ""),
        ("secret", ""),
        ("token", ""),
        ("credential", "s?"),
        ("key", ""),
    )
}
_NAMED["bearer"] = re.compile(r"\s+(?P<value>[\w\-.~+/]{16,}=*)", re.IGNORECASE)
# Which keys open something.
_KEY_OF = re.compile(r"(?:api|access|auth|account|private|signing|secret)[_ -]?$")


def find_credentials(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of every credential in a folded text."""
    # Few words of prose are as long as the shortest token, and each form's beginning is looked for.
    long = " ".join(word for word in text.split() if len(word) >= MIN_TOKEN_CHARS)
    issued = [form for word, form in ISSUED if word in long]
    for form in (*issued, *(form for word, form in _MARKED if word in text)):
        for match in form.finditer(text):
            yield "secret", *match.span()
    for given in _given(text, text.lower()):
        yield "secret", *given.span("value")


def _given(text: str, lowered: str) -> Iterator[re.Match[str]]:
    """Values that look random, given to a name that says what they are."""
    for word, form in _NAMED.items():
        for at in _places(lowered, word):
            if word == "key" and not _KEY_OF.search(lowered, max(0, at - 9), at):
                continue
            given = form.match(text, at + len(word))
            if given and (is_random(given["value"]) or _is_pin(word, given["value"])):
                yield given


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _is_pin(word: str, value: str) -> bool:
    return word in _PASSWORDS and value.isdigit()
