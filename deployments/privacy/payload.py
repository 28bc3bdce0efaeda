"""Everything in a request's body that could say something, wherever in it; and the body again with
other words in its place.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

# Smaller integers are counts, prices, tokens; every number that identifies someone is longer.
MIN_NUMBER = 10**6
# Texts that a model reads as text: a placeholder in one of them breaks nothing.
MASKABLE = frozenset(
    {"content", "text", "prompt", "arguments", "description", "reasoning_content", "refusal"}
    | {"input", "output", "instructions", "suffix"}
)
# A whole text and no white space: what stands behind a file's URL is for a reader.
_FILE = re.compile(
    r"\s*data:([\w.+/-]{0,128})(?:;[\w.=+\"-]{1,128}){0,8};base64,([\w+/%=-]*)\s*",
    re.ASCII | re.IGNORECASE,
)
# Kinds of media whose bytes are text.
_READABLE = re.compile(
    r"text/|application/(?:json|xml|yaml|x-ndjson|sql|javascript)", re.IGNORECASE
)
# Three bytes in four characters: eighteen bytes are the shortest thing worth hiding.
_ENCODED = re.compile(r"(?<![\w+/-])[\w+/-]{24,}={0,2}", re.ASCII)
# A line of it below another one, in a quoted mail as well.
_NEXT_LINE = re.compile(r"\r?\n[ \t>]{0,64}([\w+/-]+={0,2})", re.ASCII)
# How line ends and `/` stand in JSON inside a text.
_IN_JSON = (("\\r", ""), ("\\n", "\n"), ("\\/", "/"))
# A longer stretch that no text comes out of is a file.
MAX_UNREAD_CHARS = 512
# What no such stretch has in it: a long text is looked through in pieces that end at one, because a
# pattern stops every thread until it is through.
_NOT_ENCODED = re.compile(r"[^\w+/=-]", re.ASCII)
PIECE_CHARS = 32 * 2**10
_MIXED = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")


# Reading as much takes some milliseconds; more is read beside an event loop.
SHORT_CHARS = 16 * 2**10


class Said(NamedTuple):
    """One text of a body, and whether a placeholder may stand in it."""

    text: str
    maskable: bool


class Read(NamedTuple):
    """What a body holds: its texts, and what no detector can read."""

    texts: list[Said]
    # Kinds: `image`, `opaque`.
    unreadable: set[str]
    # There is more text than may be read: none of it was.
    too_long: bool = False


def read(body: Any, most_chars: float = math.inf) -> Read:
    """All of a body: values and names, numbers, files as far as they are text."""
    found = Read([], set())
    if not _is_within(body, most_chars, _plain_chars):
        return Read([], set(), too_long=True)
    for value, maskable in _values(body):
        if isinstance(value, str):
            _read_text(value, maskable, found)
        elif value == int(value) and abs(value) >= MIN_NUMBER:
            found.texts.append(Said(str(int(value)), False))
    if _has_token_ids(body):
        found.unreadable.add("opaque")
    if sum(len(text) for text, _ in found.texts) > most_chars:
        return Read([], set(), too_long=True)
    return found


def is_short(body: Any) -> bool:
    """Whether a body is read at once."""
    return _is_within(body, SHORT_CHARS, len)


def _is_within(body: Any, most_chars: float, size: Callable[[str], int]) -> bool:
    """Whether a body's texts are no longer together; counted no further than that."""
    left, chars = [body], 0
    while left and chars <= most_chars:
        part = left.pop()
        chars += 1
        if isinstance(part, str):
            chars += size(part)
        elif isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    return chars <= most_chars


def _plain_chars(text: str) -> int:
    """What of a text is read as it stands; a file has its own size once it is decoded."""
    return 0 if _FILE.fullmatch(text) else len(text)


def mapped(value: Any, change: Callable[[str], str], maskable: bool = False) -> Any:
    """The body again, with every text that is maskable changed."""
    if isinstance(value, str):
        return change(value) if maskable else value
    if isinstance(value, list):
        return [mapped(item, change, maskable) for item in value]
    if isinstance(value, dict):
        return {key: mapped(item, change, key in MASKABLE) for key, item in value.items()}
    return value


def _values(body: Any) -> Iterator[tuple[str | int | float, bool]]:
    """Every text and number, and whether it is maskable; in the order of the body."""
    left: list[tuple[Any, bool]] = [(body, False)]
    while left:
        value, maskable = left.pop()
        if isinstance(value, dict):
            for key, item in reversed(value.items()):
                left.append((item, key in MASKABLE))
                left.append((key, False))
        elif isinstance(value, list):
            left.extend((item, maskable) for item in reversed(value))
        elif isinstance(value, str) or (isinstance(value, int | float) and value == value // 1):
            yield value, maskable


def _read_text(text: str, maskable: bool, found: Read) -> None:
    file = _FILE.fullmatch(text)
    if file is None:
        found.texts.append(Said(text, maskable))
        _read_hidden(text, found)
        return
    kind, is_drawn = file[1], "svg" in file[1].lower()
    if kind.lower().startswith("image/") and not is_drawn:
        found.unreadable.add("image")
        return
    plain = _decoded(file[2]) if is_drawn or not kind or _READABLE.match(kind) else None
    if plain is None:
        found.unreadable.add("opaque")
    else:
        found.texts.append(Said(plain, False))


def _read_hidden(text: str, found: Read) -> None:
    """What stands in a text as base64: one level of it."""
    for lines in _encoded(text):
        whole = "".join(lines)
        # The word in the line below may be none of it; or each line is a text by itself.
        tries = ([whole], ["".join(lines[:-1])], lines) if lines[1:] else ([whole],)
        plains = next((plains for plains in map(_all_decoded, tries) if plains), [])
        found.texts.extend(Said(plain, False) for plain in plains)
        if not plains and len(whole) > MAX_UNREAD_CHARS and all(m.search(whole) for m in _MIXED):
            found.unreadable.add("opaque")


def _all_decoded(encoded: Sequence[str]) -> list[str]:
    return [plain for part in encoded if (plain := _decoded(part)) is not None]


def _encoded(text: str) -> Iterator[list[str]]:
    """Stretches that may be base64, by lines: all of one length, but for the last."""
    if "\\" in text:
        for written, seen in _IN_JSON:
            text = text.replace(written, seen)
    at = end = 0
    while at < len(text):
        if at >= end:
            after = _NOT_ENCODED.search(text, at + PIECE_CHARS)
            end = after.start() if after else len(text)
        first = _ENCODED.search(text, at, end)
        if first is None:
            at = end
            continue
        lines, at = [first[0]], first.end()
        while len(lines[-1]) == len(first[0]) and (more := _NEXT_LINE.match(text, at)):
            if len(more[1]) > len(first[0]):
                break
            lines.append(more[1])
            at = more.end()
        yield lines


def _decoded(encoded: str) -> str | None:
    """The text that was encoded; None where it was none."""
    plain = "".join(encoded.split()).rstrip("=").translate({45: "+", 95: "/"})
    try:
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    return None if _NOT_TEXT.search(text) else text


def _has_token_ids(body: Any) -> bool:
    """Whether a prompt is given as numbers."""
    prompt = body.get("prompt") if isinstance(body, dict) else None
    return isinstance(prompt, list) and any(not isinstance(part, str) for part in prompt)
