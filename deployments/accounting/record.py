"""What is known of one request, filled in on its way: the headers, the ledger line, the metrics."""

import asyncio
import time
from dataclasses import dataclass, field

from classifier import Score
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import ServingError
from deployments.routing.route import Route
from deployments.settings.app import TierConfig


@dataclass(slots=True)
class Record:
    """One request; times are on `time.perf_counter`'s clock, durations in seconds."""

    request_id: str
    endpoint: str
    asked_model: str
    stream: bool
    started_s: float
    route: Route | None = None
    model: str | None = None
    score: Score | None = None
    attempts: int = 0
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    score_s: float | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    cost_usd: float = 0.0
    # An error's code, `cancelled`, or `ok`.
    outcome: str = "ok"

    def first_byte(self) -> None:
        """Note the time of the first byte of the answer; later calls change nothing."""
        if self.ttft_s is None:
            self.ttft_s = time.perf_counter() - self.started_s

    def finish(self, error: BaseException | None, tier: TierConfig | None) -> None:
        """Fill in outcome, duration and cost; `tier` is the one that was asked last."""
        self.total_s = time.perf_counter() - self.started_s
        if isinstance(error, ServingError):
            self.outcome = error.code or "error"
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.outcome = "cancelled"
        elif error is not None:
            self.outcome = "internal_error"
        if tier is not None:
            self.cost_usd = cost_usd(tier, self.usage)


def cost_usd(tier: TierConfig, usage: Usage) -> float:
    """The price of one answer, USD."""
    return (
        usage.prompt_tokens * tier.usd_per_million_prompt_tokens
        + usage.completion_tokens * tier.usd_per_million_completion_tokens
    ) / 1e6
