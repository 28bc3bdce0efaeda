"""A calibrated model of one small model's answers: P(it is wrong and the large one is right).

Four heads: of a beginning or of a whole answer, with log-probabilities or without. Plain numbers:
scoring is a dot product.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from answer_check.features import (
    LOGPROB_NAMES,
    QUESTION_NAMES,
    TEXT_NAMES,
    Beginning,
    logprob_features,
    question_features,
    text_features,
)

HEADS = ("beginning", "beginning_text", "whole", "whole_text")
# As in the classifier: the claim at which the trained budget's share lies above.
THRESHOLD = 0.7


@dataclass(frozen=True, slots=True)
class Head:
    """Weights of features that were centred and scaled, and what makes their sum a probability."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float
    # Beta calibration: slopes below and above, offset.
    calibration: tuple[float, float, float]

    def probability(self, features: list[float]) -> float:
        """The calibrated probability. What is not known (NaN) counts as the mean."""
        logit = self.offset + sum(
            weight * (value - mean) / scale
            for weight, value, mean, scale in zip(
                self.weights, features, self.mean, self.scale, strict=True
            )
            if not math.isnan(value)
        )
        logit = max(-30.0, min(30.0, logit))
        below, above, offset = self.calibration
        low, high = -math.log1p(math.exp(-logit)), math.log1p(math.exp(logit))
        calibrated = max(-30.0, min(30.0, below * low + above * high + offset))
        return 1.0 / (1.0 + math.exp(-calibrated))


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """What `train` has learnt of one served model."""

    artifact_id: str
    # The served name of the model whose answers it knows, and how its weights are stored.
    served_model: str
    quantisation: str
    hold_tokens: int
    heads: Mapping[str, Head]
    # The probability at which the trained budget's share lies above.
    budget_probability: float
    # The artefact of the classifier whose scores of the questions it weighs; empty: not told.
    classifier: str = ""

    def weighs_scores_of(self, classifier: str) -> bool:
        """Whether a classifier artefact's scores are those it was trained on. Either may be
        unknown (empty)."""
        return classifier == self.classifier or not (classifier and self.classifier)

    def probability(self, begun: Beginning) -> float:
        """P(this answer is wrong and the large model's would be right)."""
        name, features = head_of(begun)
        return self.heads[name].probability(features)

    def claim(self, begun: Beginning) -> float:
        """The same on the scale of a question's score: the trained budget lies above 0.7."""
        return claim_of(self.probability(begun), self.budget_probability)


def head_of(begun: Beginning) -> tuple[str, list[float]]:
    """The head that judges it, and the head's features."""
    common = text_features(begun) + question_features(begun)
    name = "whole" if begun.whole else "beginning"
    if not begun.logprobs:
        return f"{name}_text", common
    return name, logprob_features(begun.logprobs) + common


def names_of(head: str) -> tuple[str, ...]:
    """The names of a head's features, in order."""
    common = TEXT_NAMES + QUESTION_NAMES
    return common if head.endswith("_text") else LOGPROB_NAMES + common


def claim_of(probability: float, at_threshold: float) -> float:
    """Probability as a claim: 0 to `at_threshold` on 0 to 0.7, the rest on 0.7 to 1.

    >>> claim_of(0.2, 0.4), claim_of(0.4, 0.4), claim_of(1.0, 0.4)
    (0.35, 0.7, 1.0)
    """
    if probability < at_threshold:
        return THRESHOLD * probability / at_threshold
    rest = 1.0 - at_threshold
    return 1.0 if rest <= 0 else THRESHOLD + (1 - THRESHOLD) * (probability - at_threshold) / rest
