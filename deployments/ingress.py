"""The Gateway deployment: hands the gateway its classifier, its tiers and its HTTP face."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette

from deployments.accounting.ledger import Ledger, RequestMetrics
from deployments.accounting.record import Record
from deployments.gateway.answering import Gateway
from deployments.http.api import build_api
from deployments.protocol.errors import InvalidApiKey
from deployments.replicas.classify import ClassifierClient
from deployments.replicas.health import RunningCounts, TierHealth, answering
from deployments.replicas.tier_client import TierClient
from deployments.settings.app import AppConfig, TierName
from deployments.settings.environment import api_keys

TIER_DEPLOYMENTS: dict[TierName, str] = {"small": "SmallTier", "large": "Escalation"}


class GatewayIngress:
    """One gateway replica."""

    def __init__(
        self,
        config: AppConfig,
        classifier: DeploymentHandle,
        small: DeploymentHandle,
        large: DeploymentHandle,
    ) -> None:
        context = serve.get_replica_context()
        self._health = TierHealth(
            lambda: count_running(context.app_name),
            config.gateway.health_poll_s,
            frozenset(n for n, t in config.tiers.items() if t.scaling.min_replicas == 0),
        )
        self._ledger = Ledger(
            config.gateway.ledger_dir, context.replica_tag, config.classifier.threshold
        )
        self._metrics = RequestMetrics()
        self._gateway = Gateway(
            config,
            ClassifierClient(classifier, config.classifier.timeout_s),
            {
                "small": TierClient("small", small, self._health),
                "large": TierClient("large", large, self._health),
            },
            self._health,
            self._observe,
        )

    def reconfigure(self, user_config: dict[str, dict[TierName, dict[str, str | None]]]) -> None:
        """Serve calls it after the start and whenever the adapters change."""
        self._gateway.names.adapters = user_config["adapters"]

    def __serve_build_asgi_app__(self) -> Starlette:
        app = build_api(self._gateway, api_keys(), self._health.running)
        app.router.lifespan_context = self._lifespan
        return app

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._health.start()
        yield

    def _observe(self, record: Record) -> None:
        # Strangers may not fill the disk.
        if record.outcome != InvalidApiKey.code:
            self._ledger.write(record)
        self._metrics.observe(record)


def count_running(app_name: str) -> RunningCounts:
    """Replicas of each tier that can answer, from the Serve controller."""
    deployments = serve.status().applications[app_name].deployments
    return {
        tier: answering(deployments[name].replica_states) for tier, name in TIER_DEPLOYMENTS.items()
    }
