"""Two families that nothing was chosen on: `python -m bench.classifier.once`.

Written in one go after the data mix, the rungs, the threshold rule and the word lists were fixed,
and run on the artefact that ships; whoever changes one of these writes two others.
"""

import json
from pathlib import Path

from bench.classifier.everyday import shares
from bench.classifier.results import save
from classifier import load


def main() -> None:
    """Write ``results/once.json``."""
    text = Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
    families: dict[str, list[str]] = json.loads(text)
    classifier = load()
    table = {name: shares(classifier, prompts) for name, prompts in families.items()}
    save("once", {"artifact_id": classifier.artifact_id, "families": table})


if __name__ == "__main__":
    main()
