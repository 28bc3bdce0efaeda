"""The one result the router reads."""

from dataclasses import dataclass

#: Complexity at which a prompt escalates (score >= THRESHOLD). A convention, not a measurement:
#: the artefact's complexity map is fitted so that the budget's quantile of traffic lands here,
#: and an operator keeps one constant whatever the budget.
THRESHOLD = 0.7


@dataclass(frozen=True)
class Score:
    """How much the large model is expected to gain on one conversation.

    ``complexity`` in [0, 1] is a monotone map of ``gain``; ``THRESHOLD`` and above escalates.
    ``p_small`` and ``p_large`` are calibrated probabilities that the tier answers right; under
    the objective ``fail`` the large model is taken to be always right (``p_large == 1``).
    ``familiar`` in [0, 1] is the share of held-out training prompts that lie farther from the
    training data than this one: 0.02 means stranger than 98% of them.
    """

    complexity: float
    p_small: float
    p_large: float
    gain: float
    familiar: float
    domain: str | None = None
    artifact_id: str = ""
