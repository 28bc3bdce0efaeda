"""The shipped classifier's scores of real prompts: `python -m bench.escalation.record_scores`.

Writes `scores.json`, in thousandths, so that the held rate can be judged without the data sets.
"""

import json
from pathlib import Path

from bench.classifier.datasets import bounded, gsm8k, hard, llmrouter, mmlu, sample
from classifier import load
from classifier.data.rows import Row
from classifier.text import flatten

SCORES = Path(__file__).with_name("scores.json")
MOST = 2_000


def main() -> None:
    """Score at most `MOST` prompts of each kind of traffic."""
    classifier = load()
    everyday = [row for row in bounded() if str(row.group).startswith("everyday")]
    kinds: dict[str, list[Row]] = {
        "exam": mmlu(),
        "arithmetic": gsm8k(),
        "questions": llmrouter(),
        "bounded": bounded(),
        "hard": [*hard(), *everyday],
    }
    scores = {}
    for kind, rows in kinds.items():
        texts = [flatten(row.conversation) for row in sample(rows, min(MOST, len(rows)), 0)]
        scored = classifier.score_texts(texts, classifier.vectors(texts))
        scores[kind] = [int(score.complexity * 1000) for score in scored]
    SCORES.write_text(json.dumps({"artifact": classifier.artifact_id, "scores": scores}) + "\n")


if __name__ == "__main__":
    main()
