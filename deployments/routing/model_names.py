"""The names that a client may ask for: which tier each means, what it is served by, its listing."""

import time
from typing import Any

from deployments.protocol.errors import unknown_model
from deployments.settings.app import AppConfig, TierName


class ModelNames:
    """`auto`, the tiers, their models, and their adapters."""

    def __init__(self, config: AppConfig) -> None:
        self._tiers: dict[str, TierName] = {"small": "small", "large": "large"}
        self._tiers |= {tier.model: name for name, tier in config.tiers.items()}
        self._served: dict[TierName, str] = {
            name: tier.model for name, tier in config.tiers.items()
        }
        self._fixed = _fixed_listing(config)
        self.adapters: dict[TierName, dict[str, str | None]] = {
            name: {adapter: about.domain for adapter, about in tier.adapters.items()}
            for name, tier in config.tiers.items()
        }
        """Names and domains by tier."""

    def known(self, model: str) -> bool:
        """Whether a client may ask for this name."""
        return model == "auto" or model in self._tiers or self._tier_of_adapter(model) is not None

    def tier(self, model: str) -> TierName | None:
        """The tier that a name means; None for `auto`. Raises: `UnknownModel`."""
        if model == "auto":
            return None
        tier = self._tiers.get(model) or self._tier_of_adapter(model)
        if tier is None:
            among = f" Could not find it among: auto, {', '.join(self._tiers)}."
            raise unknown_model(model, among)
        return tier

    def served(self, asked: str, tier: TierName, domain: str | None) -> str:
        """The adapter asked for, or with `auto` the one of the domain, else the tier's model."""
        names = self.adapters[tier]
        if asked in names:
            return asked
        if asked == "auto" and domain is not None:
            fitting = (name for name, known in names.items() if known == domain)
            return next(fitting, self._served[tier])
        return self._served[tier]

    def listing(self) -> dict[str, dict[str, Any]]:
        """Every name as OpenAI's model object."""
        listed = dict(self._fixed)
        for tier, names in self.adapters.items():
            base = self._fixed[self._served[tier]]
            for model, domain in names.items():
                own = {"id": model, "display_name": model, "parent": base["id"], "domain": domain}
                listed[model] = {**base, **own}
        return listed

    def _tier_of_adapter(self, model: str) -> TierName | None:
        return next((tier for tier, names in self.adapters.items() if model in names), None)


def _fixed_listing(config: AppConfig) -> dict[str, dict[str, Any]]:
    tiers = config.tiers
    windows = {name: getattr(tier.engine, "max_model_len", None) for name, tier in tiers.items()}
    known = [window for window in windows.values() if window is not None]
    able = frozenset[str]().union(*(tier.capabilities for tier in tiers.values()))
    # What neither tier can take is refused; where one's window is unknown, so is theirs together.
    widest = max(known) if len(known) == len(windows) else None
    listed = {"auto": _model("auto", {"tier": "auto", "capabilities": sorted(able)}, widest)}
    for name, tier in tiers.items():
        about = {
            "tier": name,
            "stand_in": tier.stand_in,
            "remote": tier.remote,
            "capabilities": sorted(tier.capabilities),
        }
        for model in (name, tier.model):
            listed[model] = _model(model, about, windows[name])
    return listed


def _model(name: str, about: dict[str, Any], window: int | None) -> dict[str, Any]:
    """OpenAI's model object, with vLLM's and Anthropic's names for the same beside it."""
    now = int(time.time())
    shown = {"type": "model", "display_name": name, "created_at": _utc(now), "lifecycle": "active"}
    listed = {"id": name, "object": "model", "created": now, "owned_by": "smallfirst"}
    if window is not None:
        about = {**about, "max_model_len": window, "context_window": window}
    return {**listed, **about, **shown}


def _utc(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
