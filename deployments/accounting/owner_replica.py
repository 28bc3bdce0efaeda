"""The Accounts deployment: one replica, which owns the store."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from ray.serve import metrics

from deployments.accounting.key_desk import KeyDesk, Refusal
from deployments.accounting.owner import Owner, Rules
from deployments.accounting.reporting import report
from deployments.accounting.savings import Prices
from deployments.accounting.turns import decode_report, encode_reply
from deployments.settings.accounts import AccountsConfig
from deployments.settings.api_key import UsdCaps
from deployments.store.opening import store_of

log = logging.getLogger("ray.serve")


class AccountsReplica:
    """Takes reports and questions in turn, on one thread beside a free event loop."""

    def __init__(self, config: AccountsConfig) -> None:
        self._thread = ThreadPoolExecutor(1, "accounts")
        self._lost = metrics.Counter(
            "smallfirst_ledger_lines_lost_total", "Ledger lines that are not in the file."
        )
        self._down = metrics.Gauge(
            "smallfirst_accounts_down", "1 while the store of the accounts fails, else 0."
        )
        self._waiting = metrics.Gauge(
            "smallfirst_accounts_waiting", "Records that wait for the store."
        )
        rules = Rules(config.usd, config.ledger_days)
        self._owner = Owner(store_of(config), rules, self._count)
        self._desk = KeyDesk(self._owner)
        self._prices = Prices(config.usd_per_cpu_hour)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls it after the start and whenever caps or prices change; nothing restarts."""
        self._owner.rules = Rules(
            UsdCaps.model_validate(user_config["usd"]),
            user_config["ledger_days"],
            user_config["replica_nano_usd_per_s"],
        )
        self._desk.unpriced = user_config["unpriced"]
        self._prices = Prices(user_config["usd_per_cpu_hour"])

    async def turn(self, data: bytes) -> bytes:
        """A gateway's report; its reply."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._turn, data)

    async def ask(self, data: bytes) -> bytes:
        """An administrator's question as JSON; the answer, with its HTTP status."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, data)

    async def __del__(self) -> None:
        """End the store; Serve calls it when the replica is to stop."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._owner.books.close)
        self._thread.shutdown()

    def _turn(self, data: bytes) -> bytes:
        reply = self._owner.turn(decode_report(data))
        self._down.set(float(bool(reply.trouble)))
        self._waiting.set(float(self._owner.books.waiting))
        return encode_reply(reply)

    def _ask(self, data: bytes) -> bytes:
        try:
            question = orjson.loads(data)
            if question["do"] == "report":
                body = self._report(question)
            else:
                body = self._desk.ask(question)
            status = 200
        except Refusal as refusal:
            status, body = refusal.status, _error(refusal)
        return orjson.dumps({"status": status, "body": body})

    def _report(self, question: dict[str, Any]) -> dict[str, Any]:
        asked = (question.get("since_s"), question.get("by"), self._prices, question.get("key_id"))
        return self._owner.books.work(lambda db: report(db, *asked))

    def _count(self, records: int) -> None:
        if records > 0:
            self._lost.inc(records)


def _error(refusal: Refusal) -> dict[str, Any]:
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": None}}
