"""The price of each tier: the operator's, or the list price that is kept for a known model."""

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from deployments.settings.config_mistake import ConfigError
from deployments.settings.targets import Target, TargetsConfig
from deployments.settings.upstream import UpstreamConfig

if TYPE_CHECKING:
    from deployments.settings.app import AppConfig, TierConfig


class ListPrice(NamedTuple):
    """USD per million tokens, and where from; `steps` begin after so many prompt tokens."""

    prompt: float
    completion: float
    steps: tuple[tuple[int, float, float], ...] = ()
    source: str = "the config"


def check_pair(prompt: float | None, completion: float | None) -> None:
    """Refuse half a price. Raises: `ValueError`."""
    if (prompt is None) != (completion is None):
        raise ValueError(
            "usd_per_million_prompt_tokens and usd_per_million_completion_tokens belong together: "
            "give both"
        )


def list_price(tier: "TierConfig") -> ListPrice | None:
    """What a tier's tokens cost, of several targets at most; None: nobody knows."""
    if isinstance(tier.engine, TargetsConfig):
        return _dearest(list(target_prices(tier).values()))
    if (written := _written(tier)) is not None:
        return written
    if isinstance(tier.engine, UpstreamConfig):
        return _kept(tier.engine.model, tier.engine.base_url)
    return None


def target_prices(tier: "TierConfig") -> dict[str, ListPrice | None]:
    """What the tokens of each target cost, by name: its own price, the tier's, or the list's."""
    if not isinstance(tier.engine, TargetsConfig):
        return {}
    return {
        target.name: _written(target) or _written(tier) or _kept(target.model, target.base_url)
        for target in tier.engine.targets
    }


def _written(priced: "TierConfig | Target") -> ListPrice | None:
    prompt = priced.usd_per_million_prompt_tokens
    completion = priced.usd_per_million_completion_tokens
    return None if prompt is None or completion is None else ListPrice(prompt, completion)


def _dearest(prices: list[ListPrice | None]) -> ListPrice | None:
    """A price that none of them exceeds; None where one is not known."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    rows = [(p, c) for price in known for p, c in [price[:2], *((s[1], s[2]) for s in price.steps)]]
    prompts, completions = zip(*rows, strict=True)
    sources = {price.source for price in known}
    source = sources.pop() if len(sources) == 1 else "the config and a list"
    return ListPrice(max(prompts), max(completions), (), source)


def unpriced(config: "AppConfig") -> list[str]:
    """The models whose price nobody said: no cap can hold what they cost."""
    return [
        tier.model
        for tier in config.tiers.values()
        if list_price(tier) is None and tier.usd_per_gpu_hour is None
    ]


def check_prices(config: "AppConfig") -> list[str]:
    """One line for each price that was looked up.

    Raises: `ConfigError` where accounts are kept and nobody knows what an upstream costs, or where
    there are caps and nobody knows what any tier costs.
    """
    said = []
    if config.accounts.usd.any and not config.accounts.kept:
        raise ConfigError("accounts.usd: caps need a store: set accounts.store or postgres_env")
    if (unknown := unpriced(config)) and config.accounts.usd.any:
        raise ConfigError(
            f"accounts.usd: nobody knows what {' and '.join(unknown)} cost: give the tier its "
            "usd_per_million_* or usd_per_gpu_hour, 0 where it is free"
        )
    for name, tier in config.tiers.items():
        listed = list_price(tier)
        if config.accounts.kept and _bills_unseen(tier):
            raise ConfigError(
                f"{name}: nobody knows what {tier.model} costs: set "
                f"{name}.usd_per_million_prompt_tokens and "
                f"{name}.usd_per_million_completion_tokens, to 0 where it is free"
            )
        if listed is not None and listed.source != "the config":
            said.append(
                f"{name}: {listed.prompt:g} and {listed.completion:g} USD per million tokens, "
                f"by {listed.source}; set its usd_per_million_* for your own"
            )
    return said


def _bills_unseen(tier: "TierConfig") -> bool:
    """Whether an upstream outside may answer at a price that nobody knows."""
    prices = list(target_prices(tier).values()) or [list_price(tier)]
    return any(
        price is None and not one.in_cluster
        for one, price in zip(tier.upstreams, prices, strict=False)
    )


@lru_cache(maxsize=16)
def _kept(model: str, base_url: str) -> ListPrice | None:
    # Imported here: the list takes a second to load, and only a tier without a price wants it.
    from datetime import UTC, datetime
    from importlib.metadata import version

    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import TieredPrices

    try:
        _, found = get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    prices = found.get_prices(datetime.now(UTC))
    prompt, completion = prices.input_mtok, prices.output_mtok
    if prompt is None or completion is None:
        return None
    starts = {
        tier.start
        for price in (prompt, completion)
        if isinstance(price, TieredPrices)
        for tier in price.tiers
    }

    def at(price: "Decimal | TieredPrices", start: int) -> float:
        if isinstance(price, Decimal):
            return float(price)
        reached = [tier.price for tier in price.tiers if tier.start <= start]
        return float(reached[-1] if reached else price.base)

    return ListPrice(
        at(prompt, -1),
        at(completion, -1),
        tuple((start, at(prompt, start), at(completion, start)) for start in sorted(starts)),
        f"genai-prices {version('genai-prices')} ({found.id})",
    )
