"""What a later turn does to the route of its task: `python -m bench.classifier.conversations`.

Follow-ups and corrections must go where their task goes; a change of topic to something easy and
thanks must go small; a tool's result must change nothing. The share of each kind that goes large at
the default threshold. Written for this project, and nothing of it is trained on; the lists named
fresh, the corrections and most of the thanks were written after the words of
``classifier/turn_words.py``; those held out were written before its words for answers and run once
after them. Between the turns lie answers of over a thousand characters, and in half of the cases
two other follow-ups.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bench.classifier.results import save
from classifier import THRESHOLD, Classifier, load

Messages = list[dict[str, Any]]

_TEXTS: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
TASKS: dict[str, list[str]] = {kind: _TEXTS[kind] for kind in ("hard", "easy")}
TURNS: dict[str, list[str]] = _TEXTS["turns"]
ANSWERS: list[str] = _TEXTS["answers"]
TOOL_RESULTS: list[str] = _TEXTS["tool_results"]
#: Times an answer is repeated: over a thousand characters.
_ANSWER_TIMES = 7
#: Turns between the task and the one that is judged.
_BEFORE: tuple[list[str], ...] = ([], ["go on", "and the rest"])


def chat(task: str, turns: Sequence[str], answer: str) -> Messages:
    """Return a conversation that begins with ``task``, an answer between each two turns."""
    messages: Messages = [{"role": "user", "content": task}]
    for turn in turns:
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": turn})
    return messages


def with_tool(task: str, result: str) -> Messages:
    """Return a task whose assistant has called a tool, and what the tool returned."""
    call = {"id": "1", "type": "function", "function": {"name": "run", "arguments": "{}"}}
    return [
        {"role": "user", "content": task},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": result},
    ]


def conversations(tasks: str) -> Iterator[tuple[str, Messages]]:
    """Yield the conversations over the hard or the easy tasks, each with its kind."""
    for task in TASKS[tasks]:
        yield "the task alone", chat(task, [], "")
        for result in TOOL_RESULTS:
            yield "tool results", with_tool(task, result)
            yield (
                "tool results, then a follow-up",
                [
                    *with_tool(task, result),
                    {"role": "assistant", "content": ANSWERS[0] * _ANSWER_TIMES},
                    {"role": "user", "content": "ok, go on"},
                ],
            )
        for kind, turns in TURNS.items():
            for turn, answer, before in product(turns, ANSWERS, _BEFORE):
                yield kind, chat(task, [*before, turn], answer * _ANSWER_TIMES)


def judged(classifier: Classifier, tasks: str) -> dict[str, dict[str, float]]:
    """Return how many there are of each kind and the share sent large."""
    kinds, asked = zip(*conversations(tasks), strict=True)
    large = np.array([s.complexity >= THRESHOLD for s in classifier.score_batch(asked)])
    found = {}
    for kind in dict.fromkeys(kinds):
        sent = large[[k == kind for k in kinds]]
        found[kind] = {"n": len(sent), "sent_large": round(float(sent.mean()), 4)}
    return found


def main() -> None:
    """Write ``results/conversations.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    classifier = load(parser.parse_args().model)
    table = {f"after a task that is {tasks}": judged(classifier, tasks) for tasks in TASKS}
    save("conversations", {"artifact_id": classifier.artifact_id, "kinds": table})


if __name__ == "__main__":
    main()
