"""Labelled prompts as the trainer sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.text import Conversation

#: What a row teaches: the gain of escalating, or only that the small tier fails.
Objective = Literal["gain", "fail"]


@dataclass(frozen=True)
class Row:
    """One prompt and how well each tier did on it, 0 to 1; ``large`` is NaN where it never ran.

    The labels of a ``weak`` row are guesses: it teaches at its weight, and judges nothing.
    """

    conversation: Conversation
    small: float
    large: float = float("nan")
    group: str | None = None
    domain: str | None = None
    weight: float = 1.0
    ts: float | None = None
    weak: bool = False


def labels(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return [rows, 2]: how right the small and the large tier were."""
    return np.array([[row.small, row.large] for row in rows], dtype=np.float64)


def weights(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return the rows' weights."""
    return np.array([row.weight for row in rows], dtype=np.float64)
