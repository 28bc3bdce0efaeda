"""Where a run on this machine keeps its ledger and journals."""

from pathlib import Path
from typing import Any

from deployments.settings.app import AppConfig


def with_local_files(config: AppConfig, folder: Path) -> AppConfig:
    """The same config with its ledger and the tiers' autoscaling journals in `folder`, where it
    names no others."""
    changed: dict[str, Any] = {}
    if config.gateway.ledger_dir is None:
        ledger = {"ledger_dir": str(folder / "ledger")}
        changed["gateway"] = config.gateway.model_copy(update=ledger)
    for name, tier in config.tiers.items():
        kwargs = {"journal_path": str(folder / "autoscale.jsonl"), **tier.scaling.policy_kwargs}
        scaling = tier.scaling.model_copy(update={"policy_kwargs": kwargs})
        changed[name] = tier.model_copy(update={"scaling": scaling})
    return config.model_copy(update=changed)
