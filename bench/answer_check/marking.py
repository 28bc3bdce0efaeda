"""A task whose answer a program can check, and the check."""

import re
from dataclasses import dataclass
from typing import Literal

# Numbers that models like to write out; "one" is more often a pronoun.
_WRITTEN = {
    word: str(number)
    for number, word in enumerate(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 2
    )
}
_NUMBER = re.compile(rf"\d+|\b(?:{'|'.join(_WRITTEN)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """A question, what its answer must say, and how that is looked for."""

    family: str
    question: str
    expected: str
    kind: Literal["word", "number", "letter", "choice"] = "word"
    # Of a choice: what there is to choose from.
    options: tuple[str, ...] = ()


def is_right(task: Task, answer: str) -> bool:
    """Whether the answer says what it must.

    A word: anywhere. Of numbers, the first that the question does not hold, or the last one. Of a
    choice, the option that is named first.

    >>> is_right(Task("add", "What is 2 + 3?", "5", "number"), "2 + 3 is five, not 6")
    True
    >>> is_right(Task("parity", "Is 7 odd or even?", "odd", "choice", ("odd", "even")), "Even.")
    False
    """
    if task.kind == "number":
        asked = set(re.findall(r"\d+", task.question))
        said = [_WRITTEN.get(n.lower(), n) for n in _NUMBER.findall(answer.replace(",", ""))]
        fresh = [number for number in said if number not in asked] or said[-1:]
        return bool(fresh) and fresh[0] == task.expected
    if task.kind == "letter":
        return _says_symbol(answer, task.expected)
    if task.kind == "choice":
        either = "|".join(map(re.escape, task.options))
        first = re.search(rf"(?<!\w)(?:{either})(?!\w)", answer, re.IGNORECASE)
        return first is not None and first[0].lower() == task.expected.lower()
    return re.search(rf"(?<!\w){re.escape(task.expected)}(?!\w)", answer, re.IGNORECASE) is not None


def _says_symbol(answer: str, expected: str) -> bool:
    quoted = re.findall(r"[\"'“]([A-Za-z]{1,2})[\"'”]|\b([A-Z][a-z]?)\b(?=[.,)\s]|$)", answer)
    said = [a or b for a, b in quoted if (a or b) not in ("I", "A", "It", "In", "Is", "He")]
    exact = re.search(rf"\b{re.escape(expected)}\b", answer)
    return bool(exact) and (not said or expected in said[:2])
