"""Money and limits on a request's way: held before a tier is asked, never less than it may cost."""

import math
from dataclasses import dataclass, field

from deployments.accounting.accounts import Accounts
from deployments.accounting.estimate import UNLIMITED, Estimate, estimate
from deployments.accounting.exchange import Exchange
from deployments.accounting.limit_headers import limit_headers
from deployments.accounting.price import NANO_USD, Price
from deployments.accounting.purse import Hold, Need
from deployments.accounting.turns import Refused
from deployments.gateway.deciding import Case
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import InsufficientQuota, NotPermitted, RateLimited, ServingError
from deployments.routing.cause import Cause
from deployments.routing.signals import Asked
from deployments.settings.api_key import ApiKey
from deployments.settings.app import AppConfig, TierName

# An attempt ends with its deadline, and is settled a moment later.
LATE_S = 1.0
TIERS: tuple[TierName, ...] = ("small", "large")


@dataclass(frozen=True, slots=True)
class Paid:
    """The most that a request can have of a tier, and which tiers may not answer it, with why."""

    estimate: Estimate = UNLIMITED
    barred: dict[TierName, Cause] = field(default_factory=dict)


class Paying:
    """Admits requests, and holds more or less as their way is decided."""

    def __init__(self, config: AppConfig, accounts: Accounts | None) -> None:
        self._accounts = accounts
        self._windows = {
            name: getattr(tier.engine, "max_model_len", None) for name, tier in config.tiers.items()
        }
        self.prices = {name: Price.of(tier) for name, tier in config.tiers.items()}
        self.target_prices = {
            name: price
            for tier in config.tiers.values()
            for name, price in Price.of_targets(tier).items()
        }
        """Of tiers behind which several upstreams stand: what each of them costs, by its name. The
        tier's own price is the dearest one's."""

    async def admit(self, case: Case, exchange: Exchange, seconds: float) -> Paid:
        """Hold what the request may cost at the dearest tier that may answer it.

        `seconds` is how long it may take. Raises: `NotPermitted`, `RateLimited`,
        `InsufficientQuota`, `AccountsUnavailable`.
        """
        request, hints, asked = case.request, case.hints, case.asked
        key, accounts = hints.key, self._accounts
        barred = not_permitted(key, request.model, asked)
        if accounts is None:
            return Paid(barred=barred)
        capped = not accounts.free_of_caps(key)
        counted = capped or bool(key and key.limits.tokens_per_minute)
        most = estimate(request, accounts.purse(hints.key_id).lengths) if counted else UNLIMITED
        tiers = [tier for tier in _reachable(asked) if tier not in barred]
        costs = {tier: self._most(tier, most, seconds) if capped else 0 for tier in tiers}
        need = Need(max(costs.values()), sum(most.usage))
        hold = await accounts.admit(hints.key_id, key, need)
        if _small_instead(hold, key, costs):
            need = need._replace(nano_usd=costs["small"])
            hold = await accounts.admit(hints.key_id, key, need)
            barred = {**barred, "large": Cause.BUDGET_EXHAUSTED}
        exchange.headers = limit_headers(key, accounts.purse(hints.key_id))
        if isinstance(hold, Refused):
            raise _refusal(hold, need.nano_usd)
        exchange.hold = hold
        return Paid(most if capped else UNLIMITED, barred)

    async def cover(self, exchange: Exchange, tier: TierName, paid: Paid, seconds: float) -> None:
        """Hold what a request has cost and may cost if this tier is asked now: more, or less.

        Raises: `InsufficientQuota`, `AccountsUnavailable`.
        """
        if self._accounts is None or exchange.hold is None or not exchange.hold.leased:
            return
        most = exchange.cost_nano_usd + self._most(tier, paid.estimate, seconds)
        refused = await self._accounts.cover(exchange.hold, most)
        if refused is not None:
            raise _refusal(refused, most)

    def _most(self, tier: TierName, most: Estimate, seconds: float) -> int:
        prompt, completion = most.usage
        if (window := self._windows[tier]) is not None:
            prompt, completion = min(prompt, window), min(completion, window * most.answers)
        return self.prices[tier].most_nano_usd(Usage(prompt, completion), seconds + LATE_S)


def not_permitted(key: ApiKey | None, model: str, asked: Asked) -> dict[TierName, Cause]:
    """The tiers that a key may not have. Raises: `NotPermitted` where it may have nothing asked."""
    if key is None:
        return {}
    limits = key.limits
    if limits.models is not None and model not in limits.models:
        raise NotPermitted("This API key may not use the model that is asked for.", "model")
    if not set(_reachable(asked)) & limits.tiers:
        raise NotPermitted("This API key may not use the tier that is asked for.", "model")
    return {tier: Cause.API_KEY for tier in TIERS if tier not in limits.tiers}


def _reachable(asked: Asked) -> tuple[TierName, ...]:
    if asked.tier is not None:
        return (asked.tier,)
    return ("large",) if asked.min_tier_large else TIERS


def _small_instead(hold: Hold | Refused, key: ApiKey | None, costs: dict[TierName, int]) -> bool:
    """Whether a request that a cap has no room for may still run on the small tier."""
    over = isinstance(hold, Refused) and hold.lacks == "usd"
    return over and key is not None and key.limits.on_exceed == "small_only" and len(costs) == 2


def _refusal(refused: Refused, most_nano_usd: int) -> ServingError:
    error: ServingError
    if refused.lacks == "usd":
        error = InsufficientQuota(_over(refused, most_nano_usd))
    elif refused.lacks == "parallel":
        error = RateLimited(f"At most {refused.cap} requests of this API key run at a time.")
    else:
        error = RateLimited(
            f"Rate limit reached for this API key: {refused.cap} {refused.lacks} per minute."
        )
    error.retry_after_s = math.ceil(refused.retry_after_s)
    return error


def _over(refused: Refused, most_nano_usd: int) -> str:
    """What a cap has no room for; what all keys together may spend is not for clients to know."""
    own = refused.scope != "all"
    cap = f"the {refused.period}'s cap " + (
        f"{refused.cap / NANO_USD:g} USD of this API key" if own else "of all API keys together"
    )
    most = f"this request may cost {most_nano_usd / NANO_USD:g} USD"
    if own and most_nano_usd > refused.cap:
        return (
            f"You exceeded your current quota: {most}, more than the whole of {cap}. Only a "
            "smaller max_tokens or a higher cap can let it through."
        )
    return (
        f"You exceeded your current quota: {cap} has no room for it: {most}. A smaller max_tokens "
        "may fit."
    )
