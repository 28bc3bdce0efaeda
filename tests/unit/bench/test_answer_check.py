"""The tasks of the answer check's bench can be answered, and are marked by what an answer says."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from answer_check.rows import Row
from bench.answer_check.answers import marked
from bench.answer_check.marking import Task, is_right
from bench.answer_check.table import Judged, accuracy, by_tokens, perfect_error
from bench.answer_check.tasks import tasks


def test_every_task_is_asked_once_and_its_own_answer_is_right() -> None:
    made = tasks()
    assert len({task.question for task in made}) == len(made) > 2000
    for task in made:
        assert is_right(task, f"It is {task.expected}."), task
        assert not is_right(task, "I cannot say."), task
    assert all(count >= 20 for count in Counter(task.family for task in made).values())


@pytest.mark.parametrize(
    ("task", "answer", "right"),
    [
        (Task("add", "What is 4 + 3?", "7", "number"), "4 + 3 = 7", True),
        (Task("add", "What is 4 + 3?", "7", "number"), "4 + 3 = 8, not 7", False),
        (Task("add", "What is 40 + 3?", "43", "number"), "The sum is forty.", False),
        (Task("units", "How many days are in 2 weeks?", "14", "number"), "14 days.", True),
        (Task("units", "How many grams are in 2 kg?", "2000", "number"), "2,000 grams", True),
        (Task("list", "How many words?", "4", "number"), "There are four words.", True),
        (Task("sum", "Is 9 + 9 = 18? How much?", "18", "number"), "18", True),
        (Task("odd", "Is 7 odd or even?", "odd", "choice", ("odd", "even")), "7 is odd.", True),
        (Task("odd", "Is 7 odd?", "odd", "choice", ("odd", "even")), "Even, not odd.", False),
        (Task("symbols", "Of carbon?", "C", "letter"), "The symbol is C.", True),
        (Task("symbols", "Of carbon?", "C", "letter"), "Carbon is Ca.", False),
        (Task("spanish", "'day'?", "día"), "Se dice día.", True),
        (Task("plurals", "'cat'?", "cats"), "The plural is catss", False),
    ],
)
def test_an_answer_is_marked_by_what_it_says(task: Task, answer: str, right: bool) -> None:
    assert is_right(task, answer) is right


def test_collected_rows_are_marked_by_their_task(tmp_path: Path) -> None:
    task = {
        "family": "parity",
        "question": "Is 8 odd or even?",
        "expected": "even",
        "kind": "choice",
        "options": ["odd", "even"],
    }
    row = {"answer": "It is odd. Not even.", "small": 1, "logprobs": [-0.1]}
    (tmp_path / "answers.jsonl").write_text(json.dumps(task | row) + "\n")
    (found,) = marked(tmp_path / "answers.jsonl")
    assert found["small"] == 0
    assert found["logprobs"] == [-0.1]


def rows(count: int) -> list[Row]:
    """Answers whose later half tells whether they are wrong."""
    rng = np.random.default_rng(0)
    made = []
    for at in range(count):
        wrong = float(rng.random() < 0.4)
        sure, unsure = rng.normal(-0.2, 0.1, 12), rng.normal(-0.3 - 2 * wrong, 0.2, 12)
        values = tuple(float(min(0.0, v)) for v in (*sure, *unsure))
        made.append(Row("q", "word " * 24, 1 - wrong, 1.0, values, "stop", f"g{at % 10}", 0.1, 0.9))
    return made


def test_what_only_later_tokens_tell_is_seen_with_them_alone() -> None:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in by_tokens(rows(400), by_group=False)
        if line.startswith("| ")
    ]
    answer = {row[0]: float(row[3]) for row in cells[1:]}
    assert answer["8"] < 0.65
    assert answer["32"] > 0.95
    assert {row[0]: row[1] for row in cells[1:]}["64"] == "100%"


def test_accuracy_counts_what_the_large_model_mends() -> None:
    made = rows(200)
    labels = np.array([row.label for row in made])
    everything = np.arange(len(made))
    wrong = labels.mean()
    knows = accuracy(made, Judged(labels, labels), 0.1, everything)
    knows_not = accuracy(made, Judged(1 - labels, labels), 0.1, everything)
    assert knows == pytest.approx(1 - wrong + 0.1)
    assert knows_not == pytest.approx(1 - wrong)


def test_a_perfect_model_shows_an_error_that_falls_with_the_rows() -> None:
    few, many = (
        perfect_error(Judged(np.full(count, 0.5), np.zeros(count))) for count in (100, 10_000)
    )
    assert 0.05 < few < 0.2
    assert many < few / 5
