"""Where a local run keeps its files."""

from pathlib import Path

from deployments.commands.local_files import with_local_files
from deployments.settings.app import AppConfig, GatewayConfig


def test_a_local_run_keeps_a_ledger_and_a_journal() -> None:
    config = with_local_files(AppConfig(), Path("/kept"))
    assert config.gateway.ledger_dir == "/kept/ledger"
    for tier in config.tiers.values():
        assert tier.scaling.policy_kwargs["journal_path"] == "/kept/autoscale.jsonl"


def test_what_the_config_names_stays() -> None:
    scaling = AppConfig().small.scaling.model_copy(update={"policy_kwargs": {"journal_path": "j"}})
    small = AppConfig().small.model_copy(update={"scaling": scaling})
    config = AppConfig(gateway=GatewayConfig(ledger_dir="l")).model_copy(update={"small": small})
    kept = with_local_files(config, Path("/kept"))
    assert kept.gateway.ledger_dir == "l"
    assert kept.small.scaling.policy_kwargs["journal_path"] == "j"
