"""Keys, tokens and passwords: what opens something, in the forms that their issuers document."""

import re
from collections.abc import Iterator

# What must occur in the text for a pattern to be tried: a search for a word costs a microsecond.
_ISSUED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (word, re.compile(rf"(?<![A-Za-z0-9]){pattern}"))
    for word, pattern in (
        ("sk-", r"sk-[\w-]{20,}"),  # OpenAI, Anthropic and who speaks as they do
        ("_live_", r"[sr]k_live_[A-Za-z0-9]{16,}"),
        ("_test_", r"[sr]k_test_[A-Za-z0-9]{16,}"),
        ("gh", r"gh[pousr]_[A-Za-z0-9]{36,}"),
        ("github_pat_", r"github_pat_\w{22,}"),
        ("glpat-", r"glpat-[\w-]{20,}"),
        ("xox", r"xox[abeoprs]-[\w-]{10,}"),
        ("hooks.slack.com", r"hooks\.slack\.com/services/[\w/]{20,}"),
        ("AKIA", r"AKIA[0-9A-Z]{16}(?![0-9A-Z])"),
        ("ASIA", r"ASIA[0-9A-Z]{16}(?![0-9A-Z])"),
        ("AIza", r"AIza[\w-]{35}"),
        ("ya29.", r"ya29\.[\w-]{20,}"),
        ("GOCSPX-", r"GOCSPX-[\w-]{20,}"),
        ("hf_", r"hf_[A-Za-z0-9]{30,}"),
        ("gsk_", r"gsk_[A-Za-z0-9]{30,}"),
        ("xai-", r"xai-[A-Za-z0-9]{30,}"),
        ("npm_", r"npm_[A-Za-z0-9]{36}"),
        ("pypi-", r"pypi-[\w-]{50,}"),
        ("SG.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
        ("shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
        ("dop_v1_", r"dop_v1_[a-f0-9]{64}"),
        ("AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[0-9A-Z]{40,}"),
        # A JSON web token (RFC 7519); tried once a word, or `-eyJ-eyJ-` would take its square.
        ("eyJ", r"(?<![\w-])(?=[\w-]*?eyJ)[\w-]{11,}+\.eyJ[\w-]{8,}+\.[\w-]*+"),
        ("PRIVATE KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"),
        ("://", r"[a-z][a-z0-9+.-]{1,30}://[^\s/:@\"']{0,64}:[^\s/@\"']{3,128}@[\w.-]+"),
    )
)
# A value given to a name that says what it is; a call or a variable in its place is code.
_GIVEN = (
    r"[\"']?\s{0,4}(?:[:=]{1,2}|\bis\b)\s{0,4}[\"']?"
    r"(?P<value>[\w!#$%&*+/=?@^~.-]{8,200})(?![\w(\[.])"
)
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
# Which keys open something.
_KEY_OF = re.compile(r"(?:api|access|auth|account|private|signing|secret)[_ -]?$")
_BEARER = re.compile(r"\s+(?P<value>[\w\-.~+/]{16,}=*)", re.IGNORECASE)


def find_credentials(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of every credential in a folded text."""
    for word, pattern in _ISSUED:
        if word in text:
            for match in pattern.finditer(text):
                yield "secret", *match.span()
    lowered = text.lower()
    for word, given in _NAMED.items():
        for at in _places(lowered, word):
            if word == "key" and not _KEY_OF.search(lowered, max(0, at - 9), at):
                continue
            yield from _random_in(given.match(text, at + len(word)))
    for at in _places(lowered, "bearer"):
        yield from _random_in(_BEARER.match(text, at + len("bearer")))


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _random_in(given: re.Match[str] | None) -> Iterator[tuple[str, int, int]]:
    if given and _is_random(given["value"]):
        yield "secret", *given.span("value")


def _is_random(value: str) -> bool:
    """Whether a value mixes letters with digits, as words and references in code rarely do."""
    digits = sum(map(str.isdigit, value))
    letters = sum(map(str.isalpha, value))
    return digits >= 1 and letters >= 2 and not re.fullmatch(r"[a-z_]+\d?(?:\.[a-z_]+)*", value)
