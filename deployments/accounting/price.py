"""What tokens cost: whole numbers from the price on, so that sums are exact."""

from typing import NamedTuple

from deployments.protocol.chunk import Usage
from deployments.settings.app import TierConfig

NANO_USD = 10**9
PER_TOKENS = 10**6


class Price(NamedTuple):
    """A tier's prices, nano-USD per million tokens: finer than any list price."""

    prompt: int
    completion: int

    @classmethod
    def of(cls, tier: TierConfig) -> "Price":
        """The prices that an operator wrote in USD."""
        return cls(
            round(tier.usd_per_million_prompt_tokens * NANO_USD),
            round(tier.usd_per_million_completion_tokens * NANO_USD),
        )

    def cost_nano_usd(self, usage: Usage) -> int:
        """The cost of one generation, nano-USD, rounded to the nearest."""
        exact = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return (exact + PER_TOKENS // 2) // PER_TOKENS
