"""JSON as some servers write it, and as every client can read it.

Python's own writes numbers that JSON has not (NaN, the log-probability -Infinity), and whoever cuts
a text by UTF-16 sends half of a character in one event and its other half in the next.
"""

import json
import math
from typing import Any

# What may be wrong has one of these in it; other events, nearly all, go on as they came. The last
# two are of other encodings, and of a byte order mark.
SUSPECT = (b"NaN", b"Infinity", b"\\ud", b"\\uD", b"\xed", b"\0", b"\xef\xbb\xbf")
# OpenAI's and vLLM's log-probability of what cannot be.
LEAST = -9999.0

Place = tuple[str | int, ...]


class PlainJson:
    """Reads the events of one answer, or its one document."""

    def __init__(self) -> None:
        # First halves of characters, by the place of the text that they ended.
        self._halves: dict[Place, str] = {}

    def read(self, raw: bytes) -> tuple[Any, bytes]:
        """The value, and its JSON: as it came, where every client can read that.

        Raises: `ValueError`, `RecursionError`.
        """
        value = json.loads(raw)
        if not any(map(raw.__contains__, SUSPECT)):
            return value, raw
        value = self._plain(value, ())
        return value, json.dumps(value).encode()

    def _plain(self, value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            # A key is a name, and halves of those mean nothing.
            return {_whole(key): self._plain(one, (*place, key)) for key, one in value.items()}
        if isinstance(value, list):
            numbers = [one.get("index") if isinstance(one, dict) else None for one in value]
            places = [at if type(n) is not int else n for at, n in enumerate(numbers)]
            return [self._plain(one, (*place, at)) for at, one in zip(places, value, strict=True)]
        if isinstance(value, float) and not math.isfinite(value):
            return LEAST if value < 0 else None
        return self._text(value, place) if isinstance(value, str) else value

    def _text(self, text: str, place: Place) -> str:
        text = self._halves.pop(place, "") + text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._halves[place], text = text[-1], text[:-1]
        return _whole(text)


def _whole(text: str) -> str:
    """The text with its halves of characters joined; one that stays alone is unreadable."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
