"""The answers that the tables judge, as `smallfirst answer-check collect` wrote them.

    python -m bench.answer_check.answers answers.jsonl > marked.jsonl

marks them by each task's own rule, which is narrower than that of `collect` (any word of the answer
that is the expected one): rows for `smallfirst answer-check train`.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.answer_check.marking import Task, is_right

_TASK = tuple(field.name for field in fields(Task))


def marked(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, each with its mark."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            task = Task(**{name: row[name] for name in _TASK})
            yield row | {"small": int(is_right(task, row["answer"]))}


if __name__ == "__main__":
    for row in marked(Path(sys.argv[1])):
        print(json.dumps(row, ensure_ascii=False))
