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

from answer_check.rows import Row
from bench.answer_check.marking import Task, is_right
from bench.classifier.datasets import DATA, read

_TASK = tuple(field.name for field in fields(Task))


def marked(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, each with its mark."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            task = Task(**{name: row[name] for name in _TASK})
            yield row | {"small": int(is_right(task, row["answer"]))}


def default_rows(path: Path) -> list[Row]:
    """The answers of the default small model in a file; a large one is taken to be right."""
    return [
        Row(
            row["question"],
            row["answer"],
            row["small"],
            1.0,
            tuple(row["logprobs"]),
            row["finish_reason"],
            row["family"],
        )
        for row in marked(path)
    ]


def gsm8k_rows() -> list[Row]:
    """RouteLLM's GSM8K: how long the weak model's answer was, and which of both was right."""
    if not (DATA / "routellm_gsm8k.jsonl.gz").is_file():
        return []
    kept = (r for r in read("routellm_gsm8k") if not r["contaminated"])
    return [
        Row(
            r["prompt"],
            "x" * int(r["weak_response_chars"]),
            float(r["weak"]),
            float(r["strong"]),
            group="gsm8k",
        )
        for r in kept
    ]


if __name__ == "__main__":
    for row in marked(Path(sys.argv[1])):
        print(json.dumps(row, ensure_ascii=False))
