"""What an answer's beginning shows: numbers, in one fixed order, for a model that weighs them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from answer_check.refusal import refuses
from answer_check.repetition import loop_share

# Tokens of the window whose mean is lowest: where an answer is least sure of itself.
WINDOW = 8
HALF = math.log(0.5)
# A log-probability of minus infinity is a token that was forced: as unlikely as can be told.
LOWEST = -30.0
_HEDGES = re.compile(
    r"\b(?:maybe|perhaps|not sure|i think|i believe|it depends|unclear|unknown|don't know|however"
    r"|approximately|about|might|could be)\b",
    re.IGNORECASE,
)

LOGPROB_NAMES = (
    "log_count", "mean", "lowest", "first", "q10", "q25", "q50", "window", "below_half",
)  # fmt: skip
TEXT_NAMES = (
    "log_chars", "digits", "lines", "hedges", "asks", "loop", "refuses", "cut", "whole",
)  # fmt: skip
QUESTION_NAMES = ("gain", "p_small")


@dataclass(frozen=True, slots=True)
class Beginning:
    """As much of an answer as there is, and what is known of its question."""

    text: str
    # Natural log-probabilities of its tokens; empty: the engine gave none.
    logprobs: Sequence[float] = ()
    whole: bool = False
    finish_reason: str | None = None
    # What the classifier said of the question; None: nothing.
    gain: float | None = None
    p_small: float | None = None


def logprob_features(logprobs: Sequence[float]) -> list[float]:
    """`LOGPROB_NAMES` of at least one token."""
    values = [max(LOWEST, min(0.0, value)) for value in logprobs]
    ordered = sorted(values)
    return [
        math.log1p(len(values)),
        math.fsum(values) / len(values),
        ordered[0],
        values[0],
        *(ordered[int(share * (len(ordered) - 1))] for share in (0.1, 0.25, 0.5)),
        lowest_window(values),
        sum(value < HALF for value in values) / len(values),
    ]


def lowest_window(values: Sequence[float], width: int = WINDOW) -> float:
    """The lowest mean of `width` neighbours; of all where there are fewer.

    >>> lowest_window([0.0, -1.0, -3.0, 0.0], 2)
    -2.0
    """
    width = min(width, len(values))
    total = sum(values[:width])
    lowest = total
    for at in range(width, len(values)):
        total += values[at] - values[at - width]
        lowest = min(lowest, total)
    return lowest / width


def text_features(begun: Beginning) -> list[float]:
    """`TEXT_NAMES`."""
    text = begun.text
    return [
        math.log1p(len(text)),
        sum(char.isdigit() for char in text) / max(1, len(text)),
        math.log1p(text.count("\n")),
        float(_HEDGES.search(text) is not None),
        float(text.rstrip().endswith("?")),
        loop_share(text),
        float(refuses(text)),
        float(begun.finish_reason == "length"),
        float(begun.whole),
    ]


def question_features(begun: Beginning) -> list[float]:
    """`QUESTION_NAMES`; NaN for what is not known, which no head weighs."""
    return [math.nan if value is None else value for value in (begun.gain, begun.p_small)]
