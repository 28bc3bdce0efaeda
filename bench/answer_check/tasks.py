"""Tasks whose answers a program can check, of families that a 135M model can partly do.

    python -m bench.answer_check.tasks > tasks.jsonl

One JSON object a line, for `smallfirst answer-check collect`.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict

from bench.answer_check import facts
from bench.answer_check.marking import Task

PER_FAMILY = 150
# Of families in which it is hardly ever right, which say little of telling right from wrong.
PER_HARD_FAMILY = 40
DAYS = facts.words("Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday")
MONTHS = facts.words(
    "January,February,March,April,May,June,July,August,September,October,November,December"
)
AFTER = ((1, "after"), (-1, "before"), (2, "two {} after"), (-2, "two {} before"))


def tasks(seed: int = 0) -> list[Task]:
    """All tasks, each question once, in an order that mixes the families."""
    rng = random.Random(seed)
    made = [*_from_tables(), *_calendar()]
    for make in HARD:
        made += [make(rng) for _ in range(PER_HARD_FAMILY)]
    for make in (*NUMBERS, *WORDS, *READING):
        made += [make(rng) for _ in range(PER_FAMILY)]
    once = list({task.question: task for task in made}.values())
    rng.shuffle(once)
    return once


def _from_tables() -> Iterator[Task]:
    for table, family, question in (
        (facts.CAPITALS, "capitals", "What is the capital of {}?"),
        (facts.OPPOSITES, "opposites", "What is the opposite of '{}'? Answer with one word."),
        (facts.PAST, "past", "What is the past tense of the verb '{}'?"),
        (facts.PLURALS, "plurals", "What is the plural of '{}'?"),
        (facts.SPANISH, "spanish", "How do you say '{}' in Spanish?"),
        (facts.FRENCH, "french", "How do you say '{}' in French?"),
        (facts.AUTHORS, "authors", "Who wrote '{}'?"),
        (facts.YOUNG, "young", "What is the young of a {} called?"),
    ):
        for key, value in table:
            yield Task(family, question.format(key), value)
    for key, value in facts.SYMBOLS:
        yield Task("symbols", f"What is the chemical symbol of {key}?", value, "letter")
    for table, family, question in (
        (facts.YES_NO, "yes_no", "{}? Answer yes or no."),
        (facts.CONTINENTS, "continents", "On which continent is {}?"),
        (facts.KINDS, "kinds", "Is this a fruit, a vegetable or an animal: {}?"),
        (facts.MOODS, "moods", "Is this review positive or negative: '{}.'"),
    ):
        options = tuple(sorted({value for _, value in table}))
        for key, value in table:
            yield Task(family, question.format(key), value, "choice", options)


def _calendar() -> Iterator[Task]:
    for family, names, unit in (("days", DAYS, "days"), ("months", MONTHS, "months")):
        for at, name in enumerate(names):
            for step, words in AFTER:
                right = names[(at + step) % len(names)]
                question = f"Which {unit[:-1]} comes {words.format(unit)} {name}?"
                others = tuple(other for other in names if other != name)
                yield Task(family, question, right, "choice", others)


def _add(rng: random.Random) -> Task:
    high = rng.choice([9, 20, 99, 400])
    a, b = rng.randint(1, high), rng.randint(1, high)
    return Task("add", f"What is {a} + {b}?", str(a + b), "number")


def _subtract(rng: random.Random) -> Task:
    b, a = sorted(rng.randint(1, rng.choice([9, 20, 99, 400])) for _ in range(2))
    return Task("subtract", f"What is {a} - {b}?", str(a - b), "number")


def _multiply(rng: random.Random) -> Task:
    a, b = rng.randint(2, 12), rng.randint(2, 12)
    return Task("multiply", f"What is {a} times {b}?", str(a * b), "number")


def _double(rng: random.Random) -> Task:
    half = rng.randint(2, 250)
    if rng.random() < 0.5:
        return Task("double", f"What is half of {2 * half}?", str(half), "number")
    return Task("double", f"What is twice {half}?", str(2 * half), "number")


def _units(rng: random.Random) -> Task:
    n = rng.randint(2, 40)
    units = [("minutes", 60, "hours"), ("hours", 24, "days"), ("days", 7, "weeks")]
    unit, size, of = rng.choice([*units, ("grams", 1000, "kilograms"), ("months", 12, "years")])
    return Task("units", f"How many {unit} are there in {n} {of}?", str(n * size), "number")


def _sequence(rng: random.Random) -> Task:
    start, step = rng.randint(1, 20), rng.randint(1, 9)
    row = ", ".join(str(start + step * i) for i in range(4))
    return Task("sequence", f"Which number comes next: {row}?", str(start + 4 * step), "number")


def _larger(rng: random.Random) -> Task:
    a, b = rng.sample(range(1, 1000), 2)
    question = f"Which number is larger, {a} or {b}? Answer with the number only."
    return Task("larger", question, str(max(a, b)), "choice", (str(a), str(b)))


def _parity(rng: random.Random) -> Task:
    n = rng.randint(1, 999)
    right = ("even", "odd")[n % 2]
    return Task("parity", f"Is {n} odd or even?", right, "choice", ("odd", "even"))


def _story(rng: random.Random) -> Task:
    name, thing = rng.choice(facts.NAMES), rng.choice(facts.THINGS)
    a, b = rng.randint(10, 40), rng.randint(1, 9)
    what, right = rng.choice([("buys {} more", a + b), ("gives {} away", a - b)])
    told = f"{name} has {a} {thing} and {what.format(b)}."
    return Task("story", f"{told} How many {thing} does {name} have now?", str(right), "number")


def _alphabet(rng: random.Random) -> Task:
    pair = tuple(rng.sample(facts.WORDS, 2))
    question = f"Which word comes first in the alphabet, '{pair[0]}' or '{pair[1]}'?"
    return Task("alphabet", question, min(pair), "choice", pair)


def _spelling(rng: random.Random) -> Task:
    word = rng.choice(facts.WORDS)
    return Task("spelling", f"Spell the word '{word}' backwards.", word[::-1])


def _letters(rng: random.Random) -> Task:
    word = rng.choice(facts.WORDS)
    return Task("letters", f"How many letters has the word '{word}'?", str(len(word)), "number")


def _counting(rng: random.Random) -> Task:
    listed = rng.sample(facts.WORDS, rng.randint(2, 7))
    question = f"How many words are in this list: {', '.join(listed)}?"
    return Task("counting", question, str(len(listed)), "number")


def _last(rng: random.Random) -> Task:
    listed = rng.sample(facts.WORDS, rng.randint(3, 6))
    question = f"What is the last word in this list: {', '.join(listed)}?"
    return Task("last", question, listed[-1], "choice", tuple(listed))


def _about(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """A person, a text on them, and what it says."""
    name, other = rng.sample(facts.NAMES, 2)
    said = {
        "town": rng.choice(facts.TOWNS),
        "job": rng.choice(facts.JOBS),
        "age": str(rng.randint(21, 69)),
    }
    older = str(rng.randint(21, 69))
    text = (
        f"{name} is {said['age']} years old, works as a {said['job']} and lives in {said['town']}. "
        f"{other} is {older} years old and works as a {rng.choice(facts.JOBS)}."
    )
    return name, text, said


def _read_town(rng: random.Random) -> Task:
    name, text, said = _about(rng)
    question = f"{text} Where does {name} live?"
    return Task("town", question, said["town"], "choice", tuple(facts.TOWNS))


def _read_job(rng: random.Random) -> Task:
    name, text, said = _about(rng)
    question = f"{text} What is {name}'s job?"
    return Task("job", question, said["job"], "choice", tuple(facts.JOBS))


def _read_age(rng: random.Random) -> Task:
    name, text, said = _about(rng)
    numbers = tuple(word for word in text.split() if word.isdigit())
    return Task("age", f"{text} How old is {name}?", said["age"], "choice", numbers)


Maker = Callable[[random.Random], Task]
HARD: tuple[Maker, ...] = (_subtract, _double, _sequence, _parity, _spelling, _letters, _counting)
NUMBERS: tuple[Maker, ...] = (_add, _multiply, _units, _larger, _story)
WORDS: tuple[Maker, ...] = (_alphabet, _last)
READING: tuple[Maker, ...] = (_read_town, _read_job, _read_age)


if __name__ == "__main__":
    for task in tasks():
        print(json.dumps(asdict(task), ensure_ascii=False))
