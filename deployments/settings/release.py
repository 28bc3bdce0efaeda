"""What of a tier is its release: the settings that its replicas read once, at their start.

Another release restarts them, and a digest tells which release answered; all else is live.
"""

import hashlib
import json
from typing import Any

from autoscale.packing.plan import utilization_of_share
from deployments.settings.app import TierConfig, TierName
from deployments.settings.vllm import VllmConfig

READ_AT_START = {"model", "engine"}


def release_of(name: TierName, tier: TierConfig) -> str:
    """The digest of a tier's release: 16 hexadecimal digits."""
    return digest_of([name, beside_others(tier).model_dump(include=READ_AT_START)])


def digest_of(settings: Any) -> str:
    """A digest of settings, the same in every process: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(plain(settings)).encode()).hexdigest()[:16]


def plain(settings: Any) -> Any:
    """The settings as JSON knows them, in the same order in every process: sets have none."""
    return json.loads(json.dumps(settings, sort_keys=True, default=sorted))


def beside_others(tier: TierConfig) -> TierConfig:
    """The same tier with what lets its engine start where others hold parts of the GPU."""
    engine = tier.engine
    if not isinstance(engine, VllmConfig) or not 0 < tier.gpu_share < 1:
        return tier
    if {"gpu-memory-utilization", "gpu_memory_utilization"} & set(engine.extra_args):
        return tier
    share = {"gpu-memory-utilization": utilization_of_share(tier.gpu_share)}
    alone = engine.model_copy(update={"extra_args": engine.extra_args | share})
    return tier.model_copy(update={"engine": alone})
