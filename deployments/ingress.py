"""The Gateway deployment: hands the gateway its classifier, its tiers and its HTTP face."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import metrics
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle
from ray.util import get_node_ip_address
from starlette.applications import Starlette

from deployments.accounting.accounts import Accounts
from deployments.accounting.exchange import Exchange
from deployments.accounting.ledger import Ledger
from deployments.accounting.ledger_file import LedgerFile
from deployments.accounting.metrics import RequestMetrics
from deployments.accounting.owner_client import OwnerClient
from deployments.accounting.rate_gauges import RateGauges
from deployments.accounting.router_alarms import RouterAlarms
from deployments.accounting.settlement import Settlement
from deployments.gateway.answering import Gateway
from deployments.gateway.ports import Ports
from deployments.http.admin import Admin
from deployments.http.api import build_api
from deployments.http.api_keys import ApiKeys, nobody_kept
from deployments.protocol.errors import HostNotAllowed, InvalidApiKey, OriginNotAllowed
from deployments.replicas.board_client import BoardClient
from deployments.replicas.classify import ClassifierClient
from deployments.replicas.health import RunningCounts, TierHealth, answering
from deployments.replicas.relay import RelayPort
from deployments.replicas.tier_client import TierClient
from deployments.routing.shared_state import LocalState
from deployments.settings.access import is_loopback, keys_due, required_keys
from deployments.settings.app import AppConfig, TierName
from deployments.settings.environment import admin_key_source, ray_uses_tls

log = logging.getLogger("ray.serve")

TIER_DEPLOYMENTS: dict[TierName, str] = {"small": "SmallTier", "large": "Escalation"}
# How often gauges of the gateway's own state are set, seconds: as often as Ray's agents look.
GAUGES_EVERY_S = 5.0
# How long a gateway that starts waits for the keys, seconds: as long as their owner takes to start.
OWNER_ANSWERS_S = 30.0
STRANGERS = {error.code for error in (InvalidApiKey, HostNotAllowed, OriginNotAllowed)}


class GatewayIngress:
    """One gateway replica."""

    def __init__(
        self,
        config: AppConfig,
        classifier: DeploymentHandle,
        board: DeploymentHandle,
        small: DeploymentHandle,
        large: DeploymentHandle,
        *accounts: DeploymentHandle,
    ) -> None:
        context = serve.get_replica_context()
        self._health = TierHealth(
            lambda: count_running(context.app_name), config.gateway.health_poll_s
        )
        self._relay = RelayPort(get_node_ip_address())
        self._metrics = RequestMetrics()
        self._alarms = RouterAlarms()
        self._ledger = self._open_ledger(config, context.replica_tag)
        self._owner = None
        if accounts:
            tag, running = context.replica_tag, self._health.running
            self._owner = OwnerClient(config, accounts[0], tag, running, self._metrics.lines_lost)
        self._scorer = ClassifierClient(classifier, config.classifier.timeout_s)
        self._state = LocalState(config)
        self._board = BoardClient(board, context.replica_tag, self._state)
        ports = Ports(
            scorer=self._scorer,
            tiers={
                "small": TierClient("small", small, self._health, self._relay),
                "large": TierClient("large", large, self._health, self._relay),
            },
            health=self._health,
            state=self._state,
            settle=Settlement(
                [self._keep, self._keep_line, self._metrics.observe, self._alarms.observe],
                self._metrics.accounting_failed,
            ),
            accounts=self._owner.accounts if self._owner else None,
            opened=self._owner.open.opened if self._owner else lambda _: None,
        )
        self._gateway = Gateway(config, ports)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls it after the start and whenever settings change; nothing restarts.

        `user_config` is an `AppConfig` document, or the part of one that differs.
        """
        config = self._gateway.config.changed(user_config)
        self._health.may_be_zero = frozenset(
            name for name, tier in config.tiers.items() if tier.scaling.min_replicas == 0
        )
        self._scorer.timeout_s = config.classifier.timeout_s
        self._state.configure(config)
        if self._owner is not None:
            self._owner.configure(config)
        self._gateway.configure(config)

    def __serve_build_asgi_app__(self) -> Starlette:
        host = listens_on()
        auth = self._gateway.config.gateway.auth
        self._admin_keys = None
        kept, admin = nobody_kept, None
        if (owner := self._owner) is not None:
            source = admin_key_source() if self._gateway.config.accounts.admin else None
            self._admin_keys = ApiKeys(source) if source else None
            kept, admin = (lambda: owner.accounts.keys), Admin(owner.ask, self._admin_keys)
        self._keys = ApiKeys(required_keys(auth, host), kept, due=keys_due(auth))
        app = build_api(self._gateway, self._keys, self._health.running, is_loopback(host), admin)
        app.router.lifespan_context = self._lifespan
        return app

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._health.start()
        self._keys.start()
        if self._admin_keys is not None:
            self._admin_keys.start()
        if self._owner is not None:
            await self._begin(self._owner.accounts)
        await self._board.start()
        # The relay's connections are plain: where Ray's are not, answers stay on them.
        if not ray_uses_tls():
            await self._relay.start()
        # What is here now stays: a collection that walks all of it stops every stream for a moment.
        gc.collect()
        gc.freeze()
        gauges = asyncio.create_task(self._show())
        try:
            yield
        finally:
            gauges.cancel()
            self._relay.stop()
            if self._owner is not None:
                await self._owner.accounts.close()
            if self._ledger is not None:
                await asyncio.to_thread(self._ledger.close)
            self._metrics.flush()

    async def _begin(self, accounts: Accounts) -> None:
        """Know the keys before anybody shows one."""
        accounts.start()
        try:
            async with asyncio.timeout(OWNER_ANSWERS_S):
                await accounts.known.wait()
        except TimeoutError:
            log.error("accounts: their owner does not answer; keys that it keeps are refused")

    def _keep(self, exchange: Exchange) -> None:
        # Strangers may not fill the store.
        if self._owner is not None and exchange.outcome not in STRANGERS:
            self._owner.settle(exchange)

    async def _show(self) -> None:
        gauges = RateGauges()
        tasks = metrics.Gauge(
            "smallfirst_gateway_tasks", "Tasks of a gateway's event loop: open requests and others."
        )
        while True:
            tasks.set(float(len(asyncio.all_tasks())))
            rate = self._gateway.ports.state.rate
            gauges.observe(rate)
            self._alarms.show(rate)
            await asyncio.sleep(GAUGES_EVERY_S)

    def _open_ledger(self, config: AppConfig, replica: str) -> Ledger | None:
        settings = config.gateway
        if settings.ledger_dir is None:
            return None
        file = LedgerFile(
            Path(settings.ledger_dir),
            replica,
            settings.ledger_file_bytes,
            settings.ledger_keep_bytes,
        )
        return Ledger(file, self._metrics.lines_lost)

    def _keep_line(self, exchange: Exchange) -> None:
        # Strangers may not fill the disk.
        if self._ledger is not None and exchange.outcome not in STRANGERS:
            self._ledger.keep(exchange)


def count_running(app_name: str) -> RunningCounts:
    """Replicas of each tier that can answer, from the Serve controller.

    What it says is read as it comes: `serve.status()` builds every config of the application anew
    from it, for which a gateway under load had a fifth of its CPU (128 streams,
    bench/overhead/relay).
    """
    said = _get_global_client().get_serve_details()["applications"][app_name]["deployments"]
    return {
        tier: answering(Counter(replica["state"] for replica in said[name]["replicas"]))
        for tier, name in TIER_DEPLOYMENTS.items()
    }


def listens_on() -> str | None:
    """The address that Serve's proxies, or HAProxy, listen on; None where none does.

    Serve alone knows it, however the application was deployed; a request does not say it behind
    HAProxy, and its `Host` is what a stranger wrote.
    """
    host: str | None = _get_global_client().http_config.host
    return host
