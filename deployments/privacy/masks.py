"""Placeholders in place of what was found, and the finds in place of the placeholders again."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deployments.privacy.detectors import Found

LONGEST_PLACEHOLDER = 96
# A text that is JSON says so with its first signs; `[EMAIL_1]` does not.
_JSON = re.compile(r"\s*(?:```(?:json)?\s*)?(?:\{|\[\s*[{\"])")
JSON_SIGN_CHARS = 32


@dataclass(slots=True)
class Masks:
    """The placeholders of one request: the same find has the same one wherever it stands."""

    said: Sequence[str]
    placeholders: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def masked(self, text: str, finds: Iterable[Found]) -> str:
        """The text with a placeholder for each find in it."""
        pieces, at = [], 0
        is_json = _JSON.match(text) is not None
        for start, end, kind in _apart(finds):
            value = _unescaped(text[start:end]) if is_json else text[start:end]
            pieces += [text[at:start], self._placeholder(kind, value)]
            at = end
        return "".join([*pieces, text[at:]])

    def originals(self) -> dict[str, str]:
        """What each placeholder stands for."""
        return {placeholder: value for value, placeholder in self.placeholders.items()}

    def _placeholder(self, kind: str, value: str) -> str:
        known = self.placeholders.get(value)
        if known is not None:
            return known
        name = self._names.get(kind) or self._name(kind)
        self._counts[name] += 1
        self.placeholders[value] = f"[{name}_{self._counts[name]}]"
        return self.placeholders[value]

    def _name(self, kind: str) -> str:
        name = kind.upper()[:64]
        # A text may hold words of the same form, which must come back as they were.
        while any(f"[{name}_" in text for text in self.said):
            name += "X"
        self._names[kind] = name
        return name


def _unescaped(value: str) -> str:
    """What a part of a string in JSON stands for; itself where it is none."""
    try:
        return str(json.loads(f'"{value}"', strict=False))
    except ValueError:
        return value


def _apart(finds: Iterable[Found]) -> list[tuple[int, int, str]]:
    """The places of finds in order; of those that overlap one, the kind of the longest."""
    places: list[tuple[int, int, str]] = []
    for found in sorted(finds, key=lambda found: (found.start, -found.end)):
        if places and found.start < places[-1][1]:
            start, end, kind = places[-1]
            places[-1] = (start, max(end, found.end), kind)
        else:
            places.append((found.start, found.end, found.kind))
    return places


class Restorer:
    """Puts the originals back into one text that comes in pieces, escaped where it is JSON."""

    def __init__(self, originals: Mapping[str, str], in_json: bool = False) -> None:
        """`in_json`: the text is JSON, whatever it begins with."""
        self._originals, self._in_json = originals, in_json
        self._pattern = re.compile("|".join(map(re.escape, originals)))
        self._held = ""
        # The text's first signs, as they came.
        self._begins = ""

    @property
    def waits(self) -> bool:
        """Whether the beginning of a placeholder has not been given out."""
        return bool(self._held)

    def feed(self, piece: str) -> str:
        """What is certain so far: the beginning of a placeholder waits for its end."""
        self._begins += piece[: JSON_SIGN_CHARS - len(self._begins)]
        text = self._held + piece
        self._held = ""
        at = text.rfind("[", max(0, len(text) - LONGEST_PLACEHOLDER))
        rest = text[at:] if at >= 0 else ""
        if rest and any(known.startswith(rest) and known != rest for known in self._originals):
            text, self._held = text[:at], rest
        return self._pattern.sub(self._original, text)

    def end(self) -> str:
        """What waited for an end that did not come."""
        held, self._held = self._held, ""
        return held

    def _original(self, placeholder: re.Match[str]) -> str:
        value = self._originals[placeholder[0]]
        if self._in_json or _JSON.match(self._begins):
            return json.dumps(value, ensure_ascii=False)[1:-1]
        return value
