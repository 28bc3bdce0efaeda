"""JSON lines for calibration and evaluation, read with the line number in every error.

A line is `{"text": ...}`, or `{"prompt": ..., "choices": [...], "answer": ...}`: a question whose
answer is one of the choices.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import CheckpointError

# Texts of several kinds and 24 easy questions: our own words and works in the public domain.
DEFAULT_EVALUATION = Path(__file__).parent / "data" / "evaluation.jsonl"


class Question(NamedTuple):
    """One multiple-choice question; `answer` is an index into `choices`."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


class TextLines(NamedTuple):
    """What one file holds."""

    texts: list[str]
    questions: list[Question]


def read_text_lines(path: Path) -> TextLines:
    """The file's texts and questions; `CheckpointError` names the first bad line."""
    try:
        # Not `splitlines`: U+2028 and U+0085 end no line of JSON, and stand in texts.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    found = TextLines([], [])
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _add(found, line, f"{path.name} line {number}")
    if not found.texts and not found.questions:
        raise CheckpointError(f"{path.name} holds no line")
    return found


def _add(found: TextLines, line: str, place: str) -> None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{place} is not JSON") from error
    if not isinstance(entry, dict):
        raise CheckpointError(f"{place} must be a JSON object")
    if isinstance(entry.get("text"), str) and entry["text"]:
        found.texts.append(entry["text"])
    elif question := _question(entry):
        found.questions.append(question)
    else:
        raise CheckpointError(
            f"{place} needs a string 'text', or 'prompt', 'choices' and an 'answer' among them"
        )


def _question(entry: dict[str, Any]) -> Question | None:
    prompt, choices, answer = (entry.get(key) for key in ("prompt", "choices", "answer"))
    if not isinstance(prompt, str) or not isinstance(choices, list) or answer not in choices:
        return None
    if len(choices) < 2 or not all(isinstance(choice, str) and choice for choice in choices):
        return None
    return Question(prompt, tuple(choices), choices.index(answer))
