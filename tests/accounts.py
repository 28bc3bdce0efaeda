"""Accounts for tests: one owner on one file, and gateways whose reports arrive or not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deployments.accounting import accounts as accounts_module
from deployments.accounting.accounts import Accounts, Sources
from deployments.accounting.owner import SYSTEM, Clock, Owner, Rules
from deployments.accounting.purse import Hold
from deployments.accounting.turns import decode_report, encode_reply
from deployments.accounting.waiting_records import WaitingRecords
from deployments.settings.api_key import ApiKey, Limits, UsdCaps
from deployments.store.database import Database, StoreError
from deployments.store.records import Record
from deployments.store.sqlite import Sqlite

# 2026-11-26 02:00 UTC.
HOUR = 1_795_658_400


def record(record_id: str = "r1", **fields: Any) -> Record:
    zeros = dict.fromkeys(Record._fields, 0)
    words = dict.fromkeys(("key_id", "tenant", "tier", "model", "cause", "outcome", "line"), "")
    return Record(
        **{
            **zeros,
            **words,
            "record_id": record_id,
            "request_id": "same",
            "time_s": HOUR + 5.0,
            "hour": HOUR,
            "key_id": "k1",
            **fields,
        }
    )


NANO = 10**9


def key_of(key_id: str = "k1", **limits: Any) -> ApiKey:
    return ApiKey(key_id=key_id, name=key_id, created_s=0, limits=Limits.model_validate(limits))


def capped(nano_usd: int, **limits: Any) -> ApiKey:
    return key_of(usd={"day": nano_usd / NANO}, **limits)


class World:
    """One owner on one file, and gateways whose reports arrive or not."""

    def __init__(
        self, folder: Path, *keys: ApiKey, usd: UsdCaps | None = None, real_time: bool = False
    ) -> None:
        self.path = str(folder / "a.sqlite")
        self.real_time = real_time
        self.now_s = HOUR + 100.0
        self.steady_s = 1000.0
        self.lost = 0
        self.rules = Rules(usd or UsdCaps())
        self.cut: set[str] = set()
        self.deaf: set[str] = set()
        self.broken = False
        self.gateways: list[Accounts] = []
        self.open: dict[str, dict[str, Record]] = {}
        self.owner = self._owner()
        for key in keys:
            self.owner.put_key(key)

    def _owner(self) -> Owner:
        clock = SYSTEM if self.real_time else Clock(lambda: self.now_s, lambda: self.steady_s)
        return Owner(self._store, self.rules, self._count, clock)

    def _store(self, owns: bool) -> Database:
        if self.broken:
            raise StoreError("the disk is full")
        return Sqlite(self.path, owns=owns)

    def _count(self, records: int) -> None:
        self.lost += records

    def gateway(self, name: str) -> Accounts:
        async def say(report: bytes) -> bytes:
            await asyncio.sleep(0)
            if name in self.cut:
                raise ConnectionError
            reply = encode_reply(self.owner.turn(decode_report(report)))
            if name in self.deaf:
                raise TimeoutError
            return reply

        self.open[name] = {}
        sources = Sources(lambda: list(self.open[name].values()), dict)
        accounts = Accounts(
            name, say, sources, WaitingRecords(self._count), bool(any(self.rules.usd.nano_usd()))
        )
        accounts.start()
        self.gateways.append(accounts)
        return accounts

    def restart_owner(self) -> None:
        """As a SIGKILL leaves it: the file as committed, nothing else."""
        if self.owner.books._db is not None:
            self.owner.books._db.close()
        self.owner = self._owner()

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        self.steady_s += seconds

    def run(self, sql: str) -> list[Any]:
        return self.owner.books.work(lambda db: db.run(sql))

    def spent(self, scope: str = "key:k1", period: str = "day") -> int:
        rows = self.run(
            f"SELECT settled + held FROM balances WHERE scope = '{scope}' AND period = '{period}'"
        )
        return int(rows[0][0]) if rows else 0

    async def close(self) -> None:
        for accounts in self.gateways:
            await accounts.close()
        self.owner.books.close()


def on_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "_steady_s", lambda: world.steady_s)
    monkeypatch.setattr("deployments.accounting.accounts.time.time", lambda: world.now_s)
    monkeypatch.setattr(accounts_module, "OWNER_BACK_S", 0.0)


async def finish(accounts: Accounts, hold: Hold, cost: int, record_id: str, **more: Any) -> None:
    accounts.settle(
        hold,
        record(record_id, key_id=hold.key_id, hour=hold.hour, cost_nano_usd=cost, **more),
    )
