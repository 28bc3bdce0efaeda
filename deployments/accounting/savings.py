"""What was spent, and what would have been had every request gone large: pure arithmetic.

Net of all that our own way costs: tries that nobody got, scoring, and own GPUs that stood idle.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.store.reading import Capacity, Pairs, Sums

NANO_USD = 10**9
HOUR_US = 3_600_000_000
# Fewer requests that both tiers answered say nothing of how long the large tier's answers are.
FEWEST_PAIRS = 30
# Two-sided 95%.
Z = 1.96


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long a large answer is beside the small one to the same request, with its interval."""

    value: float = 1.0
    low: float | None = None
    high: float | None = None
    pairs: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of what no tier's table has, USD."""

    cpu_hour: float = 0.0


def length_ratio(found: Pairs) -> Ratio:
    """The ratio of sums, with the delta method's interval; 1, and no interval, without enough
    pairs."""
    n = found.pairs
    if n < FEWEST_PAIRS or not found.small:
        return Ratio(pairs=n)
    ratio = found.large / found.small
    residual = (
        found.large_large - 2 * ratio * found.small_large + ratio * ratio * found.small_small
    ) / (n - 1)
    margin = Z * math.sqrt(max(0.0, residual) / n) / (found.small / n)
    return Ratio(ratio, max(0.0, ratio - margin), ratio + margin, n)


def savings(
    found: Sequence[Sums], ratio: Ratio, held: Sequence[Capacity], prices: Prices
) -> dict[str, Any]:
    """The report over some sums, USD.

    What the large tier answered costs the same in both worlds. What the small tier answered would
    have had the same prompt at the large price, and an answer as long as `ratio` says.
    """
    small = [one for one in found if one.tier == "small"]
    rest = [one for one in found if one.tier != "small"]
    spent = sum(one.cost_nano_usd for one in found)
    wasted = sum(one.wasted_nano_usd for one in found)
    classifier = round(sum(s.score_us for s in found) / HOUR_US * prices.cpu_hour * NANO_USD)
    used = sum(one.gpu_nano_usd for one in found)
    idle = max(0, sum(one.cost_nano_usd for one in held) - used) if held else 0
    kept = sum(one.cost_nano_usd - one.wasted_nano_usd for one in rest)
    prompts = sum(one.large_prompt_nano_usd for one in small)
    answers = sum(one.large_completion_nano_usd for one in small)

    def all_large(times: float) -> int:
        return kept + prompts + round(answers * times)

    net = spent + classifier + idle
    usual = all_large(ratio.value)
    report: dict[str, Any] = {
        "requests": sum(one.requests for one in found),
        "requests_small": sum(one.requests for one in small),
        "cost_usd": spent / NANO_USD,
        "of_it_wasted_tries_usd": wasted / NANO_USD,
        "classifier_usd": classifier / NANO_USD,
        "idle_gpu_usd": idle / NANO_USD,
        "net_cost_usd": net / NANO_USD,
        "all_large_usd": usual / NANO_USD,
        "saved_usd": (usual - net) / NANO_USD,
        "saved_share": (usual - net) / usual if usual else None,
        "large_answer_length": {
            "ratio": ratio.value,
            "low": ratio.low,
            "high": ratio.high,
            "pairs": ratio.pairs,
        },
    }
    if ratio.low is not None and ratio.high is not None:
        report["saved_usd_low"] = (all_large(ratio.low) - net) / NANO_USD
        report["saved_usd_high"] = (all_large(ratio.high) - net) / NANO_USD
    return report
