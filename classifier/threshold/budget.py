"""How many prompts go large: the threshold, and how sure its rate is on traffic not yet seen."""

from dataclasses import dataclass

import numpy as np

from classifier.calibration import Floats, threshold_gain
from classifier.errors import DataError
from classifier.familiarity import UNFAMILIAR_BELOW, Policy

#: Coverage of the printed interval. 99%, so that at least 95 of 100 fresh windows fall inside
#: with room for ties and mild drift.
COVERAGE = 0.99
#: Widest interval that is still worth a threshold: half of it, in share of requests.
MAX_HALF_WIDTH = 0.03
#: Where the search for the number of prompts needed gives up.
_MOST_PROMPTS = 1_000_000


@dataclass(frozen=True)
class Budget:
    """A threshold on the gain, the share of the sample it sends large, and what to expect."""

    gain: float
    rate: float
    interval: tuple[float, float]
    prompts: int

    @property
    def half_width(self) -> float:
        """Return half the interval's width, in share of requests."""
        return (self.interval[1] - self.interval[0]) / 2.0


def effective_gain(gain: Floats, familiar: Floats, policy: Policy) -> Floats:
    """Return the gain as the policy for unfamiliar prompts makes it count against a budget."""
    pressed = {"small": -1.0, "large": 1.0}.get(policy)
    if pressed is None:
        return gain
    return np.where(familiar < UNFAMILIAR_BELOW, pressed, gain)


def set_budget(gain: Floats, share: float, max_half_width: float = MAX_HALF_WIDTH) -> Budget:
    """Return the threshold that sends at most ``share`` of such traffic large.

    Raises ``DataError`` with the number of prompts needed where the interval of the realised
    rate over an equally long stretch of fresh traffic is wider than the bound.
    """
    tau = threshold_gain(gain, share)
    sent = int(np.count_nonzero(gain >= tau))
    budget = Budget(tau, sent / len(gain), predictive(sent, len(gain)), len(gain))
    if budget.half_width > max_half_width:
        low, high = budget.interval
        raise DataError(
            f"{len(gain)} prompts give a rate of {low:.1%} to {high:.1%} for a budget of "
            f"{share:.1%}; the bound is +-{max_half_width:.1%}: give at least "
            f"{prompts_needed(share, max_half_width)} prompts"
        )
    return budget


def predictive(sent: int, prompts: int) -> tuple[float, float]:
    """Return the beta-binomial interval of the rate over the next ``prompts`` prompts.

    Order statistics: with ``sent`` of ``prompts`` at or above the threshold, the true rate is
    Beta(sent, prompts - sent + 1); the fresh stretch adds its own binomial noise.
    """
    from scipy.stats import betabinom

    law = betabinom(prompts, max(sent, 0.5), prompts - sent + 1)
    low, high = law.ppf([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low) / prompts, float(high) / prompts


def prompts_needed(share: float, max_half_width: float) -> int:
    """Return the least number of prompts, in steps of 10, that meets the bound."""
    low, high = 1, _MOST_PROMPTS // 10
    while low < high:
        middle = (low + high) // 2
        found = predictive(round(middle * 10 * share), middle * 10)
        if (found[1] - found[0]) / 2.0 > max_half_width:
            low = middle + 1
        else:
            high = middle
    return low * 10


def share_for_cost(max_cost_usd: float, small_usd: float, large_usd: float) -> float:
    """Return the share that may go large so that a request costs at most this on average."""
    if not small_usd < large_usd:
        raise DataError("--large-usd must be above --small-usd")
    if max_cost_usd < small_usd:
        raise DataError(f"${max_cost_usd} a request is below the small tier's own ${small_usd}")
    return min((max_cost_usd - small_usd) / (large_usd - small_usd), 1.0)


def share_for_quality(gain: Floats, small: Floats, large: Floats, quality: float) -> float:
    """Return the least share sent large whose measured quality is at least ``quality``."""
    order = np.argsort(-gain, kind="stable")
    reached = small.sum() + np.concatenate([[0.0], np.cumsum((large - small)[order])])
    enough = np.flatnonzero(reached / len(gain) >= quality)
    if not len(enough):
        raise DataError(
            f"no threshold reaches quality {quality}; the most on these rows is "
            f"{reached.max() / len(gain):.3f}"
        )
    return float(enough[0]) / len(gain)
