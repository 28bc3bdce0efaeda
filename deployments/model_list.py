"""What `/v1/models` says of every name that a client may ask for."""

import time
from collections.abc import Mapping
from typing import Any

from deployments.config import AppConfig, TierName


class ModelList:
    """`auto`, the tiers, their models and the adapters of now, each as OpenAI's model object."""

    def __init__(self, config: AppConfig) -> None:
        common = {"object": "model", "created": int(time.time()), "owned_by": "smallfirst"}
        self._served: dict[TierName, str] = {
            name: tier.model for name, tier in config.tiers.items()
        }
        self._fixed: dict[str, dict[str, Any]] = {"auto": {"id": "auto", **common}}
        for name, tier in config.tiers.items():
            about = {"tier": name, "stand_in": tier.stand_in, "remote": tier.remote}
            max_model_len = getattr(tier.engine, "max_model_len", None)
            if max_model_len is not None:
                about["max_model_len"] = max_model_len
            for model in (name, tier.model):
                self._fixed[model] = {"id": model, **common, **about}

    def listed(
        self, adapters: Mapping[TierName, Mapping[str, str | None]]
    ) -> dict[str, dict[str, Any]]:
        """Every name and what it stands for; `adapters` are names and domains by tier."""
        listed = dict(self._fixed)
        for tier, names in adapters.items():
            base = self._fixed[self._served[tier]]
            for model, domain in names.items():
                listed[model] = {**base, "id": model, "parent": base["id"], "domain": domain}
        return listed
