"""Settings of what goes to the large tier by quality."""

from pydantic import Field, model_validator

from deployments.settings.group import Settings


class Escalation(Settings):
    """How much of the traffic whose answer either tier may give goes large by quality: by its
    score, its session or its answer."""

    target_rate: float = Field(0.05, ge=0, le=1)
    """The share that is held, as traffic drifts, by moving the threshold. 5%: what the default
    classifier was trained for. 0: nothing goes large by quality; 1: everything does."""
    hold: bool = True
    """False: the threshold stays at `classifier.threshold` whatever share results; the cap below
    still holds."""
    max_rate: float | None = Field(None, ge=0, le=1)
    """The cap: the highest share at any time, whatever the threshold. Null: twice the target, which
    leaves room to make up for too few."""
    burst: int = Field(20, ge=1)
    """Escalations that may run ahead of the cap; also what a fresh gateway starts with."""
    min_threshold: float = Field(0.0, ge=0, le=1)
    """Scores below it never go large by quality, even where the share then falls short."""
    max_threshold: float | None = Field(None, ge=0, le=1)
    """Scores at or above it always go large, up to the cap. Null: none do against the target."""

    @property
    def cap(self) -> float:
        """The highest share at any time."""
        return min(1.0, 2 * self.target_rate) if self.max_rate is None else self.max_rate

    @model_validator(mode="after")
    def _ordered(self) -> "Escalation":
        if self.max_rate is not None and self.max_rate < self.target_rate:
            raise ValueError(
                f"max_rate {self.max_rate:g} is below target_rate {self.target_rate:g}: raise it, "
                "or leave it out for twice the target"
            )
        if self.max_threshold is not None and self.max_threshold < self.min_threshold:
            raise ValueError("max_threshold is below min_threshold: raise max_threshold")
        return self


class AnswerCheck(Settings):
    """How the small tier's answers are judged before their first byte goes out."""

    enabled: bool = True
    """False: no answer is judged. One request: the header `x-smallfirst-answer-check: off`."""
    hold_tokens: int | None = Field(None, ge=1)
    """Tokens of a streamed answer that are held before it is judged; the end of its first sentence
    comes first where it does. A JSON answer is judged whole. Null: what the artefact was trained
    for; without one 16, and two words where neither a refusal nor a loop begins so."""
    artifact: str | None = None
    """Folder that `smallfirst answer-check train` wrote, on every node with a gateway: answers that
    are likely wrong go large too. Null: only degenerate ones do, and no log-probabilities are asked
    for."""
    hold_ms: float = Field(500.0, gt=0, allow_inf_nan=False)
    """The longest that the first token waits for the others, ms: what a reader notices. 16 tokens
    take 160 ms at 10 ms a token."""
    sure_below: float = Field(0.1, ge=0, le=1)
    """Streams whose question scores below it are not held: the large tier would gain nothing. Their
    beginning is judged as it passes, for the record."""
