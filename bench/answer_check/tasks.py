"""Tasks whose answers a program can check, of families that a 135M model can partly do."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.answer_check import facts

PER_FAMILY = 90
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


@dataclass(frozen=True)
class Task:
    """A question, what its answer must say, and how that is looked for."""

    family: str
    question: str
    expected: str
    kind: Literal["word", "number", "letter"] = "word"


def is_right(task: Task, answer: str) -> bool:
    """Whether the answer says what it must: the word anywhere; of numbers, the first that the
    question does not hold, or the only one."""
    if task.kind == "number":
        asked = set(re.findall(r"\d+", task.question))
        said = re.findall(r"\d+", answer.replace(",", ""))
        fresh = [number for number in said if number not in asked] or said[-1:]
        return bool(fresh) and fresh[0] == task.expected
    if task.kind == "letter":
        quoted = re.findall(r"[\"'“]([A-Za-z]{1,2})[\"'”]|\b([A-Z][a-z]?)\b(?=[.,)\s]|$)", answer)
        said = [a or b for a, b in quoted if (a or b) not in ("I", "A", "It", "In", "Is", "He")]
        exact = re.search(rf"\b{re.escape(task.expected)}\b", answer)
        return bool(exact) and (not said or task.expected in said[:2])
    return re.search(rf"\b{re.escape(task.expected)}\b", answer, re.IGNORECASE) is not None


def tasks(seed: int = 0) -> list[Task]:
    """All tasks, in an order that mixes the families."""
    rng = random.Random(seed)
    made = [*_tables(rng), *_numbers(rng), *_orders(rng)]
    rng.shuffle(made)
    return made


def _tables(rng: random.Random) -> Iterator[Task]:
    for table, family, question in (
        (facts.CAPITALS, "capitals", "What is the capital of {}?"),
        (facts.OPPOSITES, "opposites", "What is the opposite of '{}'? Answer with one word."),
        (facts.PAST, "past", "What is the past tense of the verb '{}'?"),
        (facts.PLURALS, "plurals", "What is the plural of '{}'?"),
        (facts.SPANISH, "spanish", "How do you say '{}' in Spanish?"),
        (facts.AUTHORS, "authors", "Who wrote '{}'?"),
    ):
        for key, value in rng.sample(table, min(PER_FAMILY, len(table))):
            yield Task(family, question.format(key), value)
    for key, value in facts.SYMBOLS:
        yield Task("symbols", f"What is the chemical symbol of {key}?", value, "letter")
    for answer, questions in (("yes", facts.YES), ("no", facts.NO)):
        for question in questions:
            yield Task("yes_no", f"{question} Answer yes or no.", answer)


def _numbers(rng: random.Random) -> Iterator[Task]:
    for _ in range(PER_FAMILY):
        high = rng.choice([9, 20, 99, 400])
        a, b = rng.randint(1, high), rng.randint(1, high)
        yield Task("add", f"What is {a} + {b}?", str(a + b), "number")
        a, b = max(a, b), min(a, b)
        yield Task("subtract", f"What is {a} - {b}?", str(a - b), "number")
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        yield Task("multiply", f"What is {a} times {b}?", str(a * b), "number")
        n = rng.randint(2, 12)
        unit, size, of = rng.choice(
            [("minutes", 60, "hours"), ("hours", 24, "days"), ("days", 7, "weeks")]
        )
        yield Task("units", f"How many {unit} are there in {n} {of}?", str(n * size), "number")
        start, step = rng.randint(1, 20), rng.randint(1, 9)
        row = ", ".join(str(start + step * i) for i in range(4))
        yield Task("sequence", f"Which number comes next: {row}?", str(start + 4 * step), "number")


def _orders(rng: random.Random) -> Iterator[Task]:
    for _ in range(PER_FAMILY // 2):
        a, b = rng.sample(range(1, 1000), 2)
        yield Task("larger", f"Which number is larger, {a} or {b}?", str(max(a, b)))
        at = rng.randrange(7)
        yield Task("days", f"Which day comes after {DAYS[at]}?", DAYS[(at + 1) % 7])
        at = rng.randrange(12)
        yield Task("months", f"Which month comes before {MONTHS[at]}?", MONTHS[at - 1])
        word = rng.choice(facts.WORDS)
        yield Task("spelling", f"Spell the word '{word}' backwards.", word[::-1])
        yield Task(
            "letters", f"How many letters are in the word '{word}'?", str(len(word)), "number"
        )
