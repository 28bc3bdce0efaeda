"""Distinct prompts of a file of any length: what was seen of each, averaged, within a bound."""

import hashlib
import heapq
import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from classifier.data.rows import Row
from classifier.text import Conversation


class Prompts:
    """Rows by prompt; of more than ``most`` distinct prompts an even sample of that many.

    A prompt belongs to the sample by its hash alone, so all rows of it are in or out together, and
    the same file gives the same sample. ``read`` and ``repeats`` count rows: all that came, and
    those kept whose prompt was there before.
    """

    def __init__(self, most: int | None = None) -> None:
        self.read = self.repeats = 0
        self._most = most
        self._rows: dict[int, list[Row]] = {}
        self._highest: list[int] = []  # a heap of the negated keys: the one to go first on top

    def add(self, row: Row) -> None:
        """Take a row in, or leave it out with its prompt."""
        self.read += 1
        key = _key(row.conversation)
        if key in self._rows:
            self._rows[key].append(row)
            self.repeats += 1
        elif self._most is None or len(self._rows) < self._most:
            heapq.heappush(self._highest, -key)
            self._rows[key] = [row]
        elif key < -self._highest[0]:
            gone = -heapq.heapreplace(self._highest, -key)
            self.repeats -= len(self._rows.pop(gone)) - 1
            self._rows[key] = [row]

    @property
    def left_out(self) -> int:
        """Return how many rows lie outside the sample."""
        return self.read - self.repeats - len(self._rows)

    def rows(self) -> list[Row]:
        """Return a row a prompt in the order they came, its outcomes the mean of what was seen."""
        return [_mean(rows) for rows in self._rows.values()]


def _key(conversation: Conversation) -> int:
    """A number for the whole conversation, alike for texts that differ in case and space only."""
    text = conversation if isinstance(conversation, str) else _written(conversation)
    same = " ".join(text.lower().split()).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(same, digest_size=16).digest(), "big")


def _written(messages: Sequence[object]) -> str:
    match messages:
        case [{"role": "user", "content": str(text)}]:
            return text  # one question is the same as text and as a message
    return json.dumps(messages, sort_keys=True, ensure_ascii=False, default=str)


def _mean(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    weight = np.array([row.weight for row in rows])
    small = np.array([row.small for row in rows])
    large = np.array([row.large for row in rows])
    ran = ~np.isnan(large)
    return replace(
        rows[0],
        small=_average(small, weight),
        large=_average(large[ran], weight[ran]) if ran.any() else math.nan,
        weight=float(weight.mean()),
    )


def _average(values: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(values, weights=weight if weight.any() else None))
