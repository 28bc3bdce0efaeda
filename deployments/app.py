"""Wires the deployments into one application. Nothing imports this module; Serve does."""

from typing import Any

from ray import serve
from ray.serve import Application, Deployment
from ray.serve._private.config import DeploymentConfig
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.schema import LoggingConfig

from deployments.accounting.owner_replica import AccountsReplica
from deployments.accounting.price import HOUR_S, NANO_USD
from deployments.ingress import TIER_DEPLOYMENTS, GatewayIngress
from deployments.replicas.board import FORMAT, MOST_GATEWAYS, Board
from deployments.replicas.classify import ClassifierReplica
from deployments.replicas.tier import ModelTier
from deployments.settings.app import AppConfig, TierConfig, TierName
from deployments.settings.prices import check_prices, unpriced
from deployments.settings.release import beside_others, digest_of, plain, release_of
from deployments.settings.scaling import Scaling

# What replicas read once, at their start (of tiers: their release): a change restarts them. All
# else changes in place (`reconfigure`), or is Ray's own option (shares, cores, drains, scaling), of
# which Ray judges.
READ_AT_START_BY_CLASSIFIER = {"artifact", "domains"}
READ_AT_START_BY_ACCOUNTS = {"store", "postgres_env", "num_cpus", "on_head"}
READ_AT_START_BY_GATEWAYS = {
    "allowed_hosts",
    "auth",
    "cors_origins",
    "health_poll_s",
    "ledger_dir",
    "ledger_file_bytes",
    "ledger_keep_bytes",
}
# Serve rounds the surge up: one new replica is ready before an old one leaves.
ROLL_ONE_AT_A_TIME = 1
# What Ray's head node alone has.
HEAD = "node:__internal_head__"
# The ledger has a line per request; Serve would write another one in each deployment it passes.
NO_ACCESS_LOG = LoggingConfig(enable_access_log=False)


def build(config: AppConfig) -> Application:
    """The application of `serve_config.yaml`: Gateway over Classifier, SmallTier, Escalation, and
    the Board that gateways share."""
    board = serve.deployment(Board, name="Board", **board_options())
    scorer = serve.deployment(ClassifierReplica, name="Classifier", **classifier_options(config))
    tiers = [tier_deployment(name, config) for name in config.tiers]
    gateway = serve.deployment(
        serve.ingress()(GatewayIngress), name="Gateway", **gateway_options(config)
    )
    check_prices(config)
    owner = [accounts_owner(config)] if config.accounts.kept else []
    read = [
        config.gateway.model_dump(include=READ_AT_START_BY_GATEWAYS),
        config.accounts.model_dump(include={"store", "postgres_env", "admin", "waiting_dir"}),
    ]
    return versioned(gateway, read).bind(
        config,
        versioned(scorer, config.classifier.model_dump(include=READ_AT_START_BY_CLASSIFIER)).bind(
            config.classifier
        ),
        versioned(board, FORMAT).bind(),
        *tiers,
        *owner,
    )


def accounts_owner(config: AppConfig) -> Application:
    """The one replica that owns the accounts: the old one has ended before a new one starts."""
    accounts = config.accounts
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
        user_config=rules_of_accounts(config),
    )
    return versioned(deployment, accounts.model_dump(include=READ_AT_START_BY_ACCOUNTS)).bind(
        accounts
    )


def rules_of_accounts(config: AppConfig) -> dict[str, Any]:
    """What the owner of the accounts takes over in place: caps, prices, and what has none."""
    hourly = {
        str(name): round((tier.usd_per_gpu_hour or 0.0) * tier.num_gpus * NANO_USD / HOUR_S)
        for name, tier in config.tiers.items()
    }
    live = config.accounts.model_dump(
        mode="json", include={"usd", "ledger_days", "usd_per_cpu_hour"}
    )
    return {**live, "replica_nano_usd_per_s": hourly, "unpriced": unpriced(config)}


def board_options() -> dict[str, Any]:
    """The Serve options of the board: one replica, a few small messages a second."""
    return {
        "logging_config": NO_ACCESS_LOG,
        "ray_actor_options": {"num_cpus": 0},
        "max_ongoing_requests": MOST_GATEWAYS,
    }


def classifier_options(config: AppConfig) -> dict[str, Any]:
    """The Serve options of the classifier."""
    classifier = config.classifier
    return {
        "logging_config": NO_ACCESS_LOG,
        "ray_actor_options": {"num_cpus": classifier.num_cpus},
        "max_ongoing_requests": classifier.max_ongoing_requests,
        "max_surge_percent": ROLL_ONE_AT_A_TIME,
        "user_config": {"threshold": classifier.threshold},
        "autoscaling_config": autoscaling(
            classifier.scaling, plain_policy(classifier.max_ongoing_requests)
        ),
    }


def gateway_options(config: AppConfig) -> dict[str, Any]:
    """The Serve options of the gateways, which take over any change of the settings in place."""
    gateway = config.gateway
    return {
        "logging_config": NO_ACCESS_LOG,
        "ray_actor_options": {"num_cpus": gateway.num_cpus},
        "max_ongoing_requests": gateway.max_ongoing_requests,
        "graceful_shutdown_timeout_s": gateway.max_request_s,
        "max_surge_percent": ROLL_ONE_AT_A_TIME,
        "user_config": plain(config.model_dump()),
        "autoscaling_config": autoscaling(
            gateway.scaling, plain_policy(gateway.max_ongoing_requests)
        ),
    }


def tier_deployment(name: TierName, config: AppConfig) -> Application:
    """One tier, bound to what its replicas read: the policy too, where they have a way out."""
    tier = config.tiers[name]
    settings: list[Any] = [release_of(name, tier)]
    privacy = config.privacy if tier.upstreams else None
    if privacy is not None:
        settings.append(privacy.model_dump())
    options = tier_options(tier, config.drain_timeout_s(name))
    deployment = serve.deployment(ModelTier, name=TIER_DEPLOYMENTS[name], **options)
    return versioned(deployment, settings).bind(name, beside_others(tier), privacy)


class KeptVersion(DeploymentConfig):
    """Serve's settings of a deployment, whose version stays as it was first set.

    Whoever hands Serve a file, KubeRay's operator among them, has it give every deployment the hash
    of the whole file as its version: a price edited in `args` would load both models anew (Ray
    2.60, `get_deploy_args`; seen with the pods of `tests/k8s`).
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "version":
            super().__setattr__(name, value)


def versioned(deployment: Deployment, settings: Any) -> Deployment:
    """The deployment under a version that its settings decide.

    Without one Ray deploys every deployment anew each time, so that changing one tier would load
    both models again, and a rollback would need room for new replicas beside those it goes back to.
    """
    given = dict(deployment._deployment_config) | {"version": digest_of(settings)}
    deployment._deployment_config = KeptVersion.model_construct(**given)
    return deployment


def tier_options(tier: TierConfig, drain_timeout_s: float) -> dict[str, Any]:
    """The Serve options of one tier's deployment."""
    actor: dict[str, Any] = {"num_cpus": tier.num_cpus}
    if tier.num_gpus:
        actor["num_gpus"] = tier.num_gpus
    return {
        "logging_config": NO_ACCESS_LOG,
        "ray_actor_options": actor,
        "max_ongoing_requests": tier.max_ongoing_requests,
        "max_queued_requests": tier.max_queued_requests,
        "graceful_shutdown_timeout_s": drain_timeout_s,
        "max_surge_percent": tier.max_surge_percent,
        # Serve's 20 tries keep a model that cannot start from being rolled back for many minutes.
        "max_constructor_retry_count": 3,
        "user_config": {
            "adapters": {name: a.path for name, a in tier.adapters.items()},
            "stall_timeout_s": tier.stall_timeout_s,
        },
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
