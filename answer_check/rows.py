"""Labelled answers: the classifier's rows, with what the small model said."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answer_check.artifact import AnswerCheckError, finite
from answer_check.features import Beginning
from answer_check.json_lines import objects


@dataclass(frozen=True, slots=True)
class Row:
    """One question with the small model's answer, and how both tiers did, in [0, 1]."""

    question: Any
    answer: str
    small: float
    large: float
    logprobs: tuple[float, ...] = ()
    finish_reason: str | None = None
    group: str = ""
    gain: float | None = None
    p_small: float | None = None

    @property
    def label(self) -> float:
        """1 where the small model is wrong and the large one right."""
        return (1.0 - self.small) * self.large

    def beginning(self, tokens: int | None) -> Beginning:
        """Its first tokens; None: the whole answer.

        Rows hold no tokens, so that a beginning's text is the same share of the characters.
        """
        count = len(self.logprobs) or max(1, len(self.answer) // 4)
        if tokens is None or tokens >= count:
            return Beginning(
                self.answer, self.logprobs, True, self.finish_reason, self.gain, self.p_small
            )
        text = self.answer[: round(len(self.answer) * tokens / count)]
        return Beginning(text, self.logprobs[:tokens], False, None, self.gain, self.p_small)


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """The rows of JSONL files. Raises: `AnswerCheckError` naming file, line and key."""
    rows: list[Row] = []
    for path in paths:
        for place, given in objects(path):
            try:
                rows.append(_row(given))
            except (ValueError, KeyError, TypeError) as fault:
                raise AnswerCheckError(f"{place}: {_words(fault)}") from None
    if not rows:
        raise AnswerCheckError("no rows: give JSONL that `answer-check collect` wrote")
    return rows


def _row(given: dict[str, Any]) -> Row:
    question = next((given[k] for k in ("messages", "prompt", "question") if k in given), None)
    if question is None:
        raise KeyError("messages")
    messages = isinstance(question, list) and all(isinstance(one, dict) for one in question)
    if not (messages or isinstance(question, str)):
        raise ValueError("messages is a list of them, prompt a text")
    logprobs = tuple(map(_logprob, given.get("logprobs") or ()))
    return Row(
        question,
        _text(given["answer"]),
        _share(given["small"]),
        _share(given.get("large", 1.0)),
        logprobs,
        given.get("finish_reason"),
        str(given.get("group", given.get("family", ""))),
        _within(given.get("gain"), -1.0, "gain"),
        _within(given.get("p_small"), 0.0, "p_small"),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("answer is a text")
    return value


def _logprob(value: Any) -> float:
    # A token that was forced has no other.
    return value if value == -math.inf else finite(value)


def _within(value: Any, least: float, name: str) -> float | None:
    """What the classifier said, or nothing."""
    if value is None:
        return None
    number = finite(value)
    if not least <= number <= 1.0:
        raise ValueError(f"{name} is between {least:g} and 1")
    return number


def _share(value: Any) -> float:
    share = float(value) if isinstance(value, bool) else finite(value)
    if not 0 <= share <= 1:
        raise ValueError("small and large are shares between 0 and 1")
    return share


def _words(fault: Exception) -> str:
    return f"the key {fault} is missing" if isinstance(fault, KeyError) else str(fault)[:120]
