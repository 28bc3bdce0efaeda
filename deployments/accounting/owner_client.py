"""The accounts' owner as a gateway reaches it: one deployment of one replica, over Serve."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import orjson
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.accounting.accounts import Accounts, Sources
from deployments.accounting.booking import OpenExchanges
from deployments.accounting.exchange import Exchange
from deployments.accounting.price import Price
from deployments.accounting.waiting_records import WaitingRecords, waiting_file
from deployments.protocol.errors import AccountsUnavailable
from deployments.settings.app import AppConfig, TierName

ASK_S = 30.0
TIERS: tuple[TierName, ...] = ("small", "large")


class OwnerClient:
    """What a gateway keeps of the accounts, and the way to their owner."""

    def __init__(
        self,
        config: AppConfig,
        handle: DeploymentHandle,
        gateway: str,
        running: Callable[[TierName], int],
        lost: Callable[[int], None],
    ) -> None:
        plain = {"request_serialization": "pickle", "response_serialization": "pickle"}
        self._turn = handle.options(method_name="turn", **plain)
        self._question = handle.options(method_name="ask", **plain)
        self.open = OpenExchanges(Price.of(config.large), _hash(config))
        sources = Sources(self.open.records, lambda: {tier: running(tier) for tier in TIERS})
        capped = config.accounts.usd.any
        records = WaitingRecords(lost, waiting_file(config.accounts.waiting, gateway))
        self.accounts = Accounts(gateway, self._say, sources, records, capped)

    def configure(self, config: AppConfig) -> None:
        """Book by these settings from now on."""
        self.open.configure(Price.of(config.large), _hash(config))

    def settle(self, exchange: Exchange) -> None:
        """Keep a request that is over, and free what was held for it."""
        self.accounts.settle(exchange.hold, self.open.settled(exchange))

    async def ask(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The owner's answer: an HTTP status and a document. Raises: `AccountsUnavailable`."""
        try:
            async with asyncio.timeout(ASK_S):
                answer = orjson.loads(await self._question.remote(orjson.dumps(question)))
        except (RayError, RayServeException, TimeoutError):
            raise AccountsUnavailable("The accounts' owner does not answer.") from None
        return answer["status"], answer["body"]

    async def _say(self, report: bytes) -> bytes:
        reply: bytes = await self._turn.remote(report)
        return reply


def _hash(config: AppConfig) -> str:
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]
