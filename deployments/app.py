"""Wires the deployments into one application. Nothing imports this module; Serve does."""

import hashlib
import json
from typing import Any

from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.schema import LoggingConfig

from autoscale.packing.plan import utilization_of_share
from deployments.accounting.owner_replica import AccountsReplica
from deployments.accounting.price import HOUR_S, NANO_USD
from deployments.ingress import TIER_DEPLOYMENTS, GatewayIngress
from deployments.replicas.classify import ClassifierReplica
from deployments.replicas.tier import ModelTier
from deployments.settings.app import AppConfig, Scaling, TierConfig, TierName
from deployments.settings.prices import check_prices, unpriced
from deployments.settings.upstream import UpstreamConfig
from deployments.settings.vllm import VllmConfig

# Settings of a tier that its replicas do not read: changing them restarts none. What of these is
# Ray's own option (shares, cores, drains), Ray judges by itself.
UNREAD_BY_REPLICAS = {
    "adapters",
    "capabilities",
    "drain_timeout_s",
    "gpu_share",
    "max_ongoing_requests",
    "max_queued_requests",
    "max_surge_percent",
    "num_cpus",
    "scaling",
    "usd_per_gpu_hour",
    "usd_per_million_completion_tokens",
    "usd_per_million_prompt_tokens",
}
# Serve rounds the surge up: one new replica is ready before an old one leaves.
ROLL_ONE_AT_A_TIME = 1
# What Ray's head node alone has.
HEAD = "node:__internal_head__"
# The ledger has a line per request; Serve would write another one in each deployment it passes.
NO_ACCESS_LOG = LoggingConfig(enable_access_log=False)


def build(config: AppConfig) -> Application:
    """The application of `serve_config.yaml`: Gateway over Classifier, SmallTier and Escalation."""
    classifier = serve.deployment(
        ClassifierReplica,
        name="Classifier",
        logging_config=NO_ACCESS_LOG,
        ray_actor_options={"num_cpus": config.classifier.num_cpus},
        max_ongoing_requests=config.classifier.max_ongoing_requests,
        max_surge_percent=ROLL_ONE_AT_A_TIME,
        autoscaling_config=autoscaling(
            config.classifier.scaling, plain_policy(config.classifier.max_ongoing_requests)
        ),
    )
    scorer = versioned(classifier, config.classifier.model_dump(exclude={"scaling"})).bind(
        config.classifier
    )
    tiers = [tier_deployment(name, config) for name in config.tiers]
    gateway = serve.deployment(
        serve.ingress()(GatewayIngress),
        name="Gateway",
        logging_config=NO_ACCESS_LOG,
        ray_actor_options={"num_cpus": config.gateway.num_cpus},
        max_ongoing_requests=config.gateway.max_ongoing_requests,
        graceful_shutdown_timeout_s=config.gateway.max_request_s,
        max_surge_percent=ROLL_ONE_AT_A_TIME,
        user_config={
            "adapters": {
                name: {adapter: about.domain for adapter, about in tier.adapters.items()}
                for name, tier in config.tiers.items()
            }
        },
        autoscaling_config=autoscaling(
            config.gateway.scaling, plain_policy(config.gateway.max_ongoing_requests)
        ),
    )
    owner = [accounts_owner(config)] if config.accounts.kept else []
    # What a constructor gets decides whether replicas restart; adapters travel beside it.
    bare = {str(name): without_adapters(tier) for name, tier in config.tiers.items()}
    known = config.model_copy(update=bare)
    return versioned(gateway, known.model_dump()).bind(known, scorer, *tiers, *owner)


def accounts_owner(config: AppConfig) -> Application:
    """The one replica that owns the accounts: the old one has ended before a new one starts."""
    check_prices(config)
    accounts = config.accounts
    hourly = {
        str(name): round(tier.usd_per_gpu_hour * tier.num_gpus * NANO_USD / HOUR_S)
        for name, tier in config.tiers.items()
    }
    head = {"resources": {HEAD: 0.001}} if accounts.on_head else {}
    deployment = serve.deployment(
        AccountsReplica,
        name="Accounts",
        logging_config=NO_ACCESS_LOG,
        num_replicas=1,
        ray_actor_options={"num_cpus": accounts.num_cpus, **head},
        max_ongoing_requests=1000,
        max_surge_percent=0,
        graceful_shutdown_timeout_s=10,
        health_check_period_s=2.0,
    )
    unknown = unpriced(config)
    settings = [accounts.model_dump(), hourly, unknown]
    return versioned(deployment, settings).bind(accounts, hourly, unknown)


def tier_deployment(name: TierName, config: AppConfig) -> Application:
    """One tier, bound to what its replicas read: the policy too, where they have a way out."""
    tier = config.tiers[name]
    settings: list[Any] = [name, beside_others(tier).model_dump(exclude=UNREAD_BY_REPLICAS)]
    privacy = config.privacy if isinstance(tier.engine, UpstreamConfig) else None
    if privacy is not None:
        settings.append(privacy.model_dump())
    deployment = serve.deployment(ModelTier, name=TIER_DEPLOYMENTS[name], **tier_options(tier))
    return versioned(deployment, settings).bind(
        name, beside_others(without_adapters(tier)), privacy
    )


def versioned(deployment: Deployment, settings: Any) -> Deployment:
    """The deployment under a version that its settings decide.

    Without one Ray deploys every deployment anew each time, so that changing one tier would load
    both models again, and a rollback would need room for new replicas beside those it goes back to.
    """
    # Ray 2.60 keeps the option for its own callers since it versions config files by itself.
    return deployment.options(version=version_of(settings), _internal=True)


def version_of(settings: Any) -> str:
    """A digest of settings, the same in every process: sets have an order here."""
    text = json.dumps(settings, sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def without_adapters(tier: TierConfig) -> TierConfig:
    """The same tier before any adapter is loaded."""
    return tier.model_copy(update={"adapters": {}})


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


def tier_options(tier: TierConfig) -> dict[str, Any]:
    """The Serve options of one tier's deployment."""
    actor: dict[str, Any] = {"num_cpus": tier.num_cpus}
    if tier.num_gpus:
        actor["num_gpus"] = tier.num_gpus
    return {
        "logging_config": NO_ACCESS_LOG,
        "ray_actor_options": actor,
        "max_ongoing_requests": tier.max_ongoing_requests,
        "max_queued_requests": tier.max_queued_requests,
        "graceful_shutdown_timeout_s": tier.drain_timeout_s,
        "max_surge_percent": tier.max_surge_percent,
        # Serve's 20 tries keep a model that cannot start from being rolled back for many minutes.
        "max_constructor_retry_count": 3,
        "user_config": {"adapters": {name: a.path for name, a in tier.adapters.items()}},
        # The check itself takes microseconds and follows progress; the timeout only has to outlast
        # an event loop that is busy with a burst.
        "health_check_period_s": 5.0,
        "health_check_timeout_s": 30.0,
        "autoscaling_config": autoscaling(
            tier.scaling,
            {
                "slots_per_replica": tier.slots,
                "replicas_per_gpu": round(1 / tier.gpu_share) if tier.gpu_share else 1,
            },
        ),
    }


def plain_policy(slots: int) -> dict[str, Any]:
    """Policy settings of a deployment without an engine: it starts in seconds and counts nothing
    that Serve does not count."""
    return {"slots_per_replica": slots, "startup_prior_s": 5.0, "require_engine_metrics": False}


def autoscaling(scaling: Scaling, known: dict[str, Any]) -> AutoscalingConfig:
    """Ray's settings around our policy: its own delays 0 and factors 1, so that ours decides.

    `known` are policy settings that follow from the rest of the config; `policy_kwargs` override.
    """
    return AutoscalingConfig(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        initial_replicas=max(scaling.min_replicas, 1),
        metrics_interval_s=scaling.metrics_interval_s,
        look_back_period_s=scaling.look_back_period_s,
        upscale_delay_s=0.0,
        downscale_delay_s=0.0,
        upscaling_factor=1.0,
        downscaling_factor=1.0,
        policy=AutoscalingPolicy(
            policy_function="autoscale.policy:QueueDepthPolicy",
            policy_kwargs={**known, **scaling.policy_kwargs},
        ),
    )
