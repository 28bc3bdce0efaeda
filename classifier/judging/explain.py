"""Why a prompt got its score: what each part of it adds, found by leaving the part out.

Occlusion works on every rung and says what the served model does, not what a surrogate thinks.
"""

from dataclasses import dataclass

import numpy as np

from classifier.classifier import Classifier
from classifier.score import THRESHOLD, Score
from classifier.surface import NAMES, surface
from classifier.text import Conversation, flatten

#: Parts a prompt is cut into; 24 extra scorings stay under 0.2 s on the neural rung.
PARTS = 24


@dataclass(frozen=True)
class Explanation:
    """A score, its parts with the complexity each one adds, and the surface facts."""

    score: Score
    threshold: float
    parts: list[tuple[str, float]]
    surface: dict[str, float]

    @property
    def tier(self) -> str:
        """Return where the score alone would send the prompt."""
        return "large" if self.score.complexity >= self.threshold else "small"


def explain(
    classifier: Classifier, conversation: Conversation, threshold: float = THRESHOLD
) -> Explanation:
    """Return the explanation; parts keep their order in the prompt."""
    text = flatten(conversation)
    words = text.split()
    pieces = [list(p) for p in np.array_split(np.arange(len(words)), min(PARTS, len(words) or 1))]
    without = [" ".join(w for i, w in enumerate(words) if i not in set(p)) for p in pieces]
    whole, *rest = classifier.score_batch([" ".join(words), *without])
    parts = [
        (" ".join(words[i] for i in piece), whole.complexity - left.complexity)
        for piece, left in zip(pieces, rest, strict=True)
    ]
    facts = dict(zip(NAMES, map(float, surface(text)), strict=True))
    return Explanation(classifier.score(conversation), threshold, parts, facts)
