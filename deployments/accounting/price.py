"""What tokens and time cost: whole numbers from the price on, so that sums are exact."""

import math
from dataclasses import dataclass

from deployments.protocol.chunk import Usage
from deployments.settings.app import TierConfig
from deployments.settings.prices import ListPrice, list_price, target_prices

NANO_USD = 10**9
PER_TOKENS = 10**6
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Price:
    """A tier's prices: tokens in nano-USD per million, finer than any list; time in nano-USD/s.

    The same function prices what is held and what is settled.
    """

    prompt: int
    completion: int
    # One request's part of what a replica costs: it is full when its slots are.
    per_second: int = 0
    # Prompts from so many tokens on cost more, all of it: (tokens, prompt, completion), ascending.
    steps: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def of(cls, tier: TierConfig) -> "Price":
        """The prices that an operator wrote in USD, or those that are listed for an upstream."""
        return cls._listed(tier, list_price(tier))

    @classmethod
    def of_targets(cls, tier: TierConfig) -> dict[str, "Price"]:
        """The price of each target that a tier has, by its name."""
        return {name: cls._listed(tier, listed) for name, listed in target_prices(tier).items()}

    @classmethod
    def _listed(cls, tier: TierConfig, found: ListPrice | None) -> "Price":
        listed = found or ListPrice(0.0, 0.0)
        per_second = (tier.usd_per_gpu_hour or 0.0) * tier.num_gpus / HOUR_S / tier.slots
        return cls(
            round(listed.prompt * NANO_USD),
            round(listed.completion * NANO_USD),
            math.ceil(per_second * NANO_USD),
            tuple(
                (start, round(prompt * NANO_USD), round(completion * NANO_USD))
                for start, prompt, completion in listed.steps
            ),
        )

    def cost_nano_usd(self, usage: Usage) -> int:
        """The cost of one generation's tokens, nano-USD, rounded to the nearest."""
        prompt, completion = self._at(usage.prompt_tokens)
        return _nano_usd(usage.prompt_tokens * prompt + usage.completion_tokens * completion)

    def prompt_nano_usd(self, usage: Usage) -> int:
        """The prompt's part of it."""
        return _nano_usd(usage.prompt_tokens * self._at(usage.prompt_tokens)[0])

    def time_nano_usd(self, seconds: float) -> int:
        """The cost of a replica's slot for so long, nano-USD."""
        return round(seconds * self.per_second)

    def _at(self, prompt_tokens: int) -> tuple[int, int]:
        prompt, completion = self.prompt, self.completion
        for start, dearer_prompt, dearer_completion in self.steps:
            if prompt_tokens > start:
                prompt, completion = dearer_prompt, dearer_completion
        return prompt, completion

    def most_nano_usd(self, usage: Usage, seconds: float) -> int:
        """The most that a request of at most so many tokens and seconds can cost, nano-USD."""
        return self.cost_nano_usd(usage) + self.time_nano_usd(seconds)


def _nano_usd(per_million: int) -> int:
    return (per_million + PER_TOKENS // 2) // PER_TOKENS
