"""From a question and an OpenAI answer to a labelled row."""

import re
from typing import Any

from answer_check.artifact import AnswerCheckError, finite


def messages_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What to ask. Raises: `AnswerCheckError` where the row has no question."""
    if isinstance(row.get("messages"), list):
        return list(row["messages"])
    prompt = row.get("prompt", row.get("question"))
    if not isinstance(prompt, str) or not prompt:
        raise AnswerCheckError("a row has neither messages nor a prompt")
    return [{"role": "user", "content": prompt}]


def check(row: dict[str, Any]) -> None:
    """Raises: `AnswerCheckError` for a row whose answer nobody could ask for, or mark."""
    messages_of(row)
    if "expected" in row:
        _wanted(row["expected"])
    elif "small" in row:
        finite(row["small"])
    else:
        raise AnswerCheckError("a row has neither `expected` nor `small`: nothing marks the answer")


def is_right(answer: str, expected: Any) -> bool:
    """Whether the answer says one of the expected words or numbers, as a word of its own.

    >>> is_right("It is Paris.", "paris"), is_right("It is 142.", 42), is_right("1,000", ["1000"])
    (True, False, True)
    """
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", answer)
    return any(
        re.search(rf"(?<!\w){re.escape(one)}(?!\w)", plain, re.IGNORECASE)
        for one in _wanted(expected)
    )


def _wanted(expected: Any) -> list[str]:
    named = expected if isinstance(expected, list) else [expected]
    fit = all(isinstance(one, str | int | float) and type(one) is not bool for one in named)
    wanted = [str(one) for one in named] if fit else []
    if not wanted or not all(wanted):
        raise AnswerCheckError("`expected` is a word, a number, or a list of them")
    return wanted


def answered(row: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The row with the small model's answer, its log-probabilities, and its mark where `expected`
    says what is right. Raises: `AnswerCheckError` for an answer that is none."""
    try:
        choice = answer["choices"][0]
        content = (choice.get("logprobs") or {}).get("content") or []
        logprobs = [round(finite(token["logprob"]), 4) for token in content]
    except (LookupError, TypeError, AttributeError) as fault:
        raise AnswerCheckError(f"not an answer of OpenAI's shape ({fault!r:.60})") from None
    text = _text_of(answer)
    made = {
        **row,
        "answer": text,
        "logprobs": logprobs,
        "finish_reason": choice.get("finish_reason"),
    }
    if "expected" in row:
        made["small"] = int(is_right(text, row["expected"]))
    return made


def marked_large(row: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The row with the large model's mark. Raises: `AnswerCheckError` as `answered`."""
    return {**row, "large": int(is_right(_text_of(answer), row["expected"]))}


def _text_of(answer: Any) -> str:
    try:
        text = answer["choices"][0]["message"].get("content") or ""
    except (LookupError, TypeError, AttributeError) as fault:
        raise AnswerCheckError(f"not an answer of OpenAI's shape ({fault!r:.60})") from None
    if not isinstance(text, str):
        raise AnswerCheckError("an answer that is no text")
    return text
