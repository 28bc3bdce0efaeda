"""The whole HTTP service in this process: real gateway, real tiers, simulated engines, uvicorn."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from starlette.applications import Starlette

from deployments.accounting.booking import OpenExchanges
from deployments.accounting.exchange import Exchange
from deployments.accounting.key_desk import KeyDesk, Refusal
from deployments.accounting.price import Price
from deployments.accounting.reporting import report
from deployments.accounting.savings import Prices
from deployments.gateway.answering import Gateway
from deployments.gateway.ports import Ports
from deployments.http.admin import Admin
from deployments.http.api import build_api
from deployments.http.api_keys import ApiKeys, nobody_kept
from deployments.replicas.health import TierHealth
from deployments.replicas.relay import RelayPort
from deployments.replicas.tier_client import TierClient
from deployments.routing.shared_state import LocalState
from deployments.settings.api_key import ApiKey
from deployments.settings.app import AppConfig, TierName
from deployments.settings.key_source import KeySource
from deployments.settings.prices import unpriced
from tests.accounts import World
from tests.fakes import FakeHandle, FakeScorer, LocalTier, local_tier

# Fast enough for hundreds of requests, slow enough for a client to leave in the middle.
ENGINE = {
    "kind": "simulated",
    "first_token_delay_s": 0.0,
    "inter_token_delay_s": 0.001,
    "mean_completion_tokens": 20,
    "max_model_len": 200_000,
    "kv_cache_tokens": 1_000_000,
    "prompt_tokens_per_s": 1e9,
}


@dataclass
class Service:
    """A running service and what stands behind it."""

    app: Starlette
    scorer: FakeScorer
    tiers: dict[TierName, LocalTier]
    handles: dict[TierName, FakeHandle]
    health: TierHealth
    records: list[Exchange]
    url: str = ""

    @property
    def http(self) -> httpx.AsyncClient:
        """A plain client."""
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30)

    @property
    def openai(self) -> openai.AsyncOpenAI:
        """The official client."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    def asked(self) -> list[str]:
        """The tiers, or adapters, that were asked, in no order between tiers."""
        return [r.adapter or name for name, h in self.handles.items() for r in h.requests]

    async def idle(self) -> bool:
        """Whether no engine works on anything, soon."""
        for _ in range(200):
            loads = [tier.record_autoscaling_stats() for tier in self.tiers.values()]
            if all(load["engine_running"] + load["engine_waiting"] == 0 for load in loads):
                return True
            await asyncio.sleep(0.01)
        return False


Serving = Callable[..., AbstractAsyncContextManager[Service]]


@asynccontextmanager
async def in_process(
    score: float | None = 0.1,
    keys: frozenset[str] = frozenset(),
    on_loopback: bool = False,
    accounts: World | None = None,
    keys_due: bool | None = None,
    **args: Any,
) -> AsyncIterator[Service]:
    """The service without a socket; `small` and `large` are changes to an engine's settings."""
    engines = {name: {**ENGINE, **args.pop(name, {})} for name in ("small", "large")}
    tiers = {name: args.pop(f"{name}_tier", {}) for name in ("small", "large")}
    for name, engine in engines.items():
        args[name] = {"model": f"sim-{name}", "engine": engine, **tiers[name]}
    config = AppConfig.model_validate(args)
    scorer, records = FakeScorer(score), list[Exchange]()
    replicas = {name: await local_tier(tier, name) for name, tier in config.tiers.items()}
    handles = {name: FakeHandle(replica.generate) for name, replica in replicas.items()}
    health = TierHealth(dict, 1.0, frozenset())
    health.update({"small": 1, "large": 1})
    relay = RelayPort("127.0.0.1")
    await relay.start()
    clients = {name: TierClient(name, h, health, relay) for name, h in handles.items()}
    kept, admin, more = nobody_kept, None, dict[str, Any]()
    settle: Callable[[Exchange], None] = records.append
    if accounts is not None:
        kept, admin, settle, more = accounted(accounts, config, records)
    ports = Ports(scorer, clients, health, LocalState(config), settle, **more)
    gateway = Gateway(config, ports)
    source = KeySource("TEST_KEYS", listed=",".join(keys)) if keys else None
    app = build_api(
        gateway, ApiKeys(source, kept, due=keys_due), health.running, on_loopback, admin
    )
    try:
        yield Service(app, scorer, replicas, handles, health, records)
    finally:
        for replica in replicas.values():
            await replica.end()
        relay.stop()
        await asyncio.sleep(0)


def accounted(
    world: World, config: AppConfig, records: list[Exchange]
) -> tuple[Callable[[], Mapping[str, ApiKey]], Admin, Callable[[Exchange], None], dict[str, Any]]:
    """A gateway's side of accounts whose owner is in this process."""
    accounts = world.gateway("gateway")
    running = OpenExchanges(Price.of(config.large), "config")
    desk = KeyDesk(world.owner)
    desk.unpriced = unpriced(config)

    async def ask(question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if question["do"] == "report":
            since_s, by, key_id = (question[name] for name in ("since_s", "by", "key_id"))
            return 200, world.owner.books.work(lambda db: report(db, since_s, by, Prices(), key_id))
        try:
            return 200, desk.ask(question)
        except Refusal as refusal:
            return refusal.status, {"error": {"message": refusal.message}}

    def settle(exchange: Exchange) -> None:
        records.append(exchange)
        accounts.settle(exchange.hold, running.settled(exchange))

    admin = Admin(ask, ApiKeys(KeySource("TEST_ADMIN_KEYS", listed="the-admin")))
    more = {"accounts": accounts, "opened": running.opened}
    return lambda: accounts.keys, admin, settle, more


@asynccontextmanager
async def over_http(**settings: Any) -> AsyncIterator[Service]:
    """The service on a free port."""
    async with in_process(**settings) as service:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(service.app, log_level="critical"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110  # uvicorn has a flag and no event
            await asyncio.sleep(0.005)
        service.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield service
        finally:
            server.should_exit = True
            await task


@pytest.fixture
def serving() -> Serving:
    """Runs a service; gives it with its URL."""
    return over_http


@pytest.fixture
def local() -> Serving:
    """Builds a service without a socket."""
    return in_process


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service where everything works and every prompt is easy."""
    async with over_http() as running:
        yield running
