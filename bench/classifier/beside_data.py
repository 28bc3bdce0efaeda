"""Questions beside pasted data: `python -m bench.classifier.beside_data`.

Hard questions must go large and bounded ones small, whichever way round they stand with a line,
two, five or twenty of a log, a table, stack frames or a dump. Written for this project, and nothing
of it is trained on; the lists held out were written before ``classifier/pasted.py`` and run once
after it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.classifier.results import save
from classifier import THRESHOLD, Classifier, load

_TEXTS: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
DATA: dict[str, list[str]] = _TEXTS.pop("data")
ASKED: dict[str, list[str]] = _TEXTS
#: Lines of data beside a question.
LINES = (1, 2, 5, 20)
#: The question above and below.
FORMS = ("{ask}\n\n{data}", "{data}\n\n{ask}")


def prompts(kind: str, lines: int) -> Iterator[str]:
    """Yield each question of a kind with so many lines of each data, above and below."""
    for ask in ASKED[kind]:
        for rows in DATA.values():
            for form in FORMS:
                yield form.format(ask=ask, data="\n".join(rows[:lines]))


def sent_large(classifier: Classifier, texts: list[str]) -> float:
    """Return the share that goes large at the default threshold."""
    large = [score.complexity >= THRESHOLD for score in classifier.score_batch(texts)]
    return round(float(np.mean(large)), 4)


def judged(classifier: Classifier, kind: str) -> dict[str, float]:
    """Return the shares of one kind alone and by lines of data beside it."""
    found = {"n": len(ASKED[kind]), "alone": sent_large(classifier, ASKED[kind])}
    for lines in LINES:
        found[f"{lines} lines"] = sent_large(classifier, list(prompts(kind, lines)))
    return found


def main() -> None:
    """Write ``results/beside_data.json``."""
    classifier = load()
    table = {kind: judged(classifier, kind) for kind in ASKED}
    save("beside_data", {"artifact_id": classifier.artifact_id, "kinds": table})


if __name__ == "__main__":
    main()
