"""Placeholders in place of what was found, and the finds in place of the placeholders again."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deployments.privacy.detectors import Found

LONGEST_PLACEHOLDER = 96


@dataclass(slots=True)
class Masks:
    """The placeholders of one request: the same find has the same one wherever it stands."""

    said: Sequence[str]
    placeholders: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def masked(self, text: str, finds: Iterable[Found]) -> str:
        """The text with a placeholder for each find in it."""
        pieces, at = [], 0
        for start, end, kind in _apart(finds):
            pieces += [text[at:start], self._placeholder(kind, text[start:end])]
            at = end
        return "".join([*pieces, text[at:]])

    def originals(self) -> dict[str, str]:
        """What each placeholder stands for."""
        return {placeholder: value for value, placeholder in self.placeholders.items()}

    def _placeholder(self, kind: str, value: str) -> str:
        known = self.placeholders.get(value)
        if known is not None:
            return known
        name = kind.upper()[:64]
        # A text may hold words of the same form, which must come back as they were.
        while any(f"[{name}_" in text for text in self.said):
            name += "X"
        number = self._counts[name] = self._counts.get(name, 0) + 1
        self.placeholders[value] = f"[{name}_{number}]"
        return self.placeholders[value]


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
    """Puts the originals back into one text that comes in pieces."""

    def __init__(self, originals: Mapping[str, str]) -> None:
        self._originals = originals
        self._pattern = re.compile("|".join(map(re.escape, originals)))
        self._held = ""

    @property
    def waits(self) -> bool:
        """Whether the beginning of a placeholder has not been given out."""
        return bool(self._held)

    def feed(self, piece: str) -> str:
        """What is certain so far: the beginning of a placeholder waits for its end."""
        text = self._held + piece
        self._held = ""
        at = text.rfind("[", max(0, len(text) - LONGEST_PLACEHOLDER))
        rest = text[at:] if at >= 0 else ""
        if rest and any(known.startswith(rest) and known != rest for known in self._originals):
            text, self._held = text[:at], rest
        return self._pattern.sub(lambda match: self._originals[match[0]], text)

    def end(self) -> str:
        """What waited for an end that did not come."""
        held, self._held = self._held, ""
        return held
