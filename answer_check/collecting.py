"""From a question and an OpenAI answer to a labelled row."""

import re
from collections.abc import Iterator
from typing import Any

from answer_check.artifact import AnswerCheckError


def messages_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What to ask. Raises: `AnswerCheckError` where the row has no question."""
    if isinstance(row.get("messages"), list):
        return list(row["messages"])
    prompt = row.get("prompt", row.get("question"))
    if not isinstance(prompt, str) or not prompt:
        raise AnswerCheckError("a row has neither messages nor a prompt")
    return [{"role": "user", "content": prompt}]


def is_right(answer: str, expected: str | list[str]) -> bool:
    """Whether the answer says one of the expected words or numbers, as a word of its own.

    >>> is_right("It is Paris.", "paris"), is_right("It is 142.", "42"), is_right("1,000", "1000")
    (True, False, True)
    """
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", answer)
    wanted = [expected] if isinstance(expected, str) else expected
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", plain, re.IGNORECASE) for one in wanted)


def answered(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The row with the small model's answer, its log-probabilities, and its mark where `expected`
    says what is right. Raises: `AnswerCheckError` where nothing marks it."""
    choice = answer["choices"][0]
    text = choice["message"].get("content") or ""
    content = (choice.get("logprobs") or {}).get("content") or []
    logprobs = [round(float(token["logprob"]), 4) for token in content]
    made = {
        **row,
        "answer": text,
        "logprobs": logprobs,
        "finish_reason": choice.get("finish_reason"),
    }
    if "expected" in row:
        made["small"] = int(is_right(text, row["expected"]))
    if "small" not in made:
        raise AnswerCheckError("a row has neither `expected` nor `small`: nothing marks the answer")
    return made


def marked_large(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The row with the large model's mark."""
    text = answer["choices"][0]["message"].get("content") or ""
    return {**row, "large": int(is_right(text, row["expected"]))}


def left(rows: list[dict[str, Any]], done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows whose question has no answer yet."""
    have = {repr(messages_of(row)) for row in done}
    return (row for row in rows if repr(messages_of(row)) not in have)
