"""JSON lines: one object a line, and each mistake with its file and line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from answer_check.artifact import AnswerCheckError


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file, each with its place. Raises: `AnswerCheckError`."""
    try:
        # Not `splitlines`: U+2028 and U+0085 end no line of JSON, and stand in answers.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8"
        raise AnswerCheckError(f"{path}: cannot be read ({why})") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{path}:{number}"
            yield place, _object(line, place)


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise AnswerCheckError(f"{place}: not JSON") from None
    if not isinstance(row, dict):
        raise AnswerCheckError(f"{place}: not an object")
    return row
