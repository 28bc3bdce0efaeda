"""Finds in texts what the policy cares about: kinds and places, never the values themselves."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from deployments.privacy.contacts import Phones, find_emails
from deployments.privacy.credentials import find_credentials
from deployments.privacy.folding import Folded, fold, seen
from deployments.privacy.numbers import find_numbers
from deployments.privacy.pictures import Picture
from deployments.settings.privacy import NUMBERS, PrivacyConfig

# Between two texts: folding takes it out of both, and no pattern knows it.
SEPARATOR = "\x1e"
# The shortest identifier has six digits with little between them; most texts have none, and are
# then read no further for numbers.
_DENSE = re.compile(r"\d(?:[^\d\x1e]{0,4}\d){5}")

Place = tuple[str, int, int]
Find = Callable[[str], Iterable[Place]]


class Found(NamedTuple):
    """One find: its kind, the text that it begins in, and its place there, before folding."""

    kind: str
    text: int
    start: int
    end: int


class Detectors:
    """All that a policy asks for, and no other: what is ignored costs nothing."""

    def __init__(self, config: PrivacyConfig) -> None:
        self._wanted = {kind for kind in config.kinds if config.action(kind) != "ignore"}
        numeric: list[Callable[[str, Picture], Iterable[Place]]] = []
        if self._wanted & set(NUMBERS):
            numeric.append(find_numbers)
        if "phone" in self._wanted:
            numeric.append(Phones(config.phone_regions).find)
        self._numeric = numeric
        # Of the operator and of others: nothing is known of what these make of two texts.
        self._foreign: list[Find] = []
        if config.patterns:
            self._foreign.append(_PatternKinds(config.patterns))
        if config.presidio:
            # Imported here: an extra that most do without.
            from deployments.privacy.presidio import PresidioEntities

            self._foreign.append(PresidioEntities(config.presidio))

    def find(self, texts: Sequence[str]) -> Iterator[Found]:
        """Every find in any of the texts, in no order; who has seen enough may stop."""
        folded = list(map(fold, texts))
        joined = SEPARATOR.join(part.text for part in folded)
        starts, at = [], 0
        for part in folded:
            starts.append(at)
            at += len(part.text) + 1
        for kind, start, end in self._search(joined):
            if kind in self._wanted:
                yield _located(kind, start, end, folded, starts)
        for number, part in enumerate(folded):
            for find in self._foreign:
                for kind, start, end in find(part.text):
                    if kind in self._wanted:
                        yield Found(kind, number, *part.span(start, end))

    def _search(self, joined: str) -> Iterator[Place]:
        yield from find_emails(joined)
        yield from find_credentials(joined)
        if self._numeric and _DENSE.search(joined):
            picture = Picture(joined)
            for find_drawn in self._numeric:
                yield from find_drawn(joined, picture)


class _PatternKinds:
    """The operator's own kinds; their letters look as those of the texts do."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {
            kind: re.compile("".join(map(_seen_in_pattern, pattern)), re.IGNORECASE)
            for kind, pattern in patterns.items()
        }

    def __call__(self, text: str) -> Iterator[Place]:
        for kind, pattern in self._patterns.items():
            for match in pattern.finditer(text):
                if match[0]:
                    yield kind, *match.span()


def _seen_in_pattern(character: str) -> str:
    """A character of a pattern as it looks in a text; it does not become one of its signs."""
    return character if character.isascii() else re.escape(seen(character))


def _located(
    kind: str, start: int, end: int, folded: Sequence[Folded], starts: Sequence[int]
) -> Found:
    number = bisect_right(starts, start) - 1
    first = starts[number]
    return Found(kind, number, *folded[number].span(start - first, end - first))
