"""Gateways, the owner and the whole node, killed at random moments under load.

    python -m bench.accounts.kills

Real `smallfirst serve` on simulated engines, two gateways. One key has a cap that is reached
half-way, the other one that is not. Ends with 1 where a cap is passed, a balance is not the sum of
its records, something stays held, or an answer that a client had whole a second before anything
died is in no record.
"""

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.accounts.report import write
from bench.faults.endpoint import Endpoint, running_endpoint, wait_until
from deployments.settings.accounts import AccountsConfig
from deployments.store.balances import differences
from deployments.store.sqlite import Sqlite

ENGINE = {"kind": "simulated", "first_token_delay_s": 0.01, "inter_token_delay_s": 0.005}
PRICE = {"usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 100}
TIER = {"engine": ENGINE, "num_cpus": 0.1, "max_ongoing_requests": 64, **PRICE}
GATEWAYS = {"num_cpus": 0.1, "scaling": {"min_replicas": 2, "max_replicas": 2}}
# A request of 40 tokens costs 0.004 USD.
BODY = {"model": "small", "max_tokens": 40, "messages": [{"role": "user", "content": "Hi"}]}
CLIENTS = 8
# What 0070 says may be lost.
LAST_S = 1.0
# An answer's last bytes may reach the client when its gateway is dead already.
UNDER_WAY_S = 0.2


@dataclass
class Seen:
    """What clients were told, and when something was killed."""

    told: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    broken: int = 0
    killed: list[tuple[str, float]] = field(default_factory=list)
    most: int = 0

    def lost(self, kept: set[str]) -> list[float]:
        """Of answers without a record, how long a gateway still lived after each, seconds."""
        deaths = [at_s for what, at_s in self.killed if what != "owner"]
        missing = [end_s for name, end_s in self.told.items() if name not in kept]
        return [
            min(
                (max(0.0, at_s - end_s) for at_s in deaths if at_s >= end_s - UNDER_WAY_S),
                default=float("inf"),
            )
            for end_s in missing
        ]


async def ask(url: str, key: str, seen: Seen, until: asyncio.Event, name: str) -> None:
    """One client: a request after the other."""
    number = 0
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        while not until.is_set():
            number += 1
            request_id = f"{name}-{number}"
            headers = {"authorization": f"Bearer {key}", "x-request-id": request_id}
            try:
                answer = await client.post(f"{url}/v1/chat/completions", json=BODY, headers=headers)
            except httpx.TransportError:
                seen.broken += 1
                await asyncio.sleep(0.2)
                continue
            if answer.status_code == 200:
                seen.told[request_id] = time.time()
            elif answer.status_code == 429:
                seen.refused += 1
                await asyncio.sleep(0.2)
            else:
                seen.broken += 1
                await asyncio.sleep(0.2)


async def watch(store: Path, cap: tuple[str, int], seen: Seen, until: asyncio.Event) -> None:
    """The most that was ever spent and held of the cap that is reached."""
    while not until.is_set():
        with suppress(sqlite3.Error), sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
            sql = "SELECT MAX(settled + held) FROM balances WHERE scope = ? AND period = 'day'"
            seen.most = max(seen.most, db.execute(sql, [cap[0]]).fetchone()[0] or 0)
        await asyncio.sleep(0.1)


async def kill(endpoint: Endpoint, kills: int, seen: Seen, chance: random.Random) -> None:
    """Kill gateways and the owner at random moments; then the node."""
    for number in range(kills):
        await asyncio.sleep(chance.uniform(3, 8))
        what = "owner" if number % 3 == 2 else "gateway"
        found = endpoint.replicas("Accounts" if what == "owner" else "Gateway")
        if found:
            chance.choice(found).send_signal(signal.SIGKILL)
            seen.killed.append((what, time.time()))
    await asyncio.sleep(chance.uniform(3, 8))
    family = [psutil.Process(endpoint.process.pid), *endpoint.descendants()]
    at_s = time.time()
    for process in family:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    seen.killed.append(("node", at_s))


def made(endpoint: Endpoint, name: str, usd: float) -> dict[str, Any]:
    """A key with a cap for a day."""
    answer = httpx.post(
        f"{endpoint.url}/admin/keys",
        json={"name": name, "limits": {"usd": {"day": usd}}},
        headers={"authorization": "Bearer the-admin"},
        timeout=60,
        trust_env=False,
    )
    key: dict[str, Any] = answer.raise_for_status().json()
    return key


async def play(endpoint: Endpoint, store: Path, cap_usd: float, kills: int, seed: int) -> Seen:
    """Load, and deaths under it."""
    seen, until = Seen(), asyncio.Event()
    tight, wide = made(endpoint, "tight", cap_usd), made(endpoint, "wide", 1000.0)
    cap = (f"key:{tight['key_id']}", round(cap_usd * 10**9))
    await asyncio.sleep(1.0)
    keys = [(tight if n % 2 else wide)["api_key"] for n in range(CLIENTS)]
    clients = [
        asyncio.create_task(ask(endpoint.url, key, seen, until, f"c{n}"))
        for n, key in enumerate(keys)
    ]
    looking = asyncio.create_task(watch(store, cap, seen, until))
    await kill(endpoint, kills, seen, random.Random(seed))
    until.set()
    await asyncio.gather(*clients, looking)
    return seen


def main() -> None:
    """Play it, start anew on what is left, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--cap-usd", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, admin = Path(folder) / "accounts.sqlite", Path(folder) / "admin"
        admin.write_text("the-admin\n")
        os.environ["SMALLFIRST_ADMIN_KEYS_FILE"] = str(admin)
        args = {
            "gateway": GATEWAYS,
            "small": {"model": "sim-small", **TIER},
            "large": {"model": "sim-large", **TIER},
            "accounts": {"store": str(store)},
        }
        with running_endpoint(args) as endpoint:
            wait_until(lambda: len(endpoint.replicas("Gateway")) == 2, 120, "two gateways")
            seen = asyncio.run(play(endpoint, store, asked.cap_usd, asked.kills, asked.seed))
        with running_endpoint(args):
            held = "SELECT COALESCE(SUM(held), 0) FROM balances"
            wait_until(lambda: rows(store, held) == [(0,)], 60, "nothing is held")
            wait_until(lambda: not waiting(store), 60, "no record waits")
        kept = Counter(name for (name,) in rows(store, "SELECT request_id FROM ledger"))
        outcomes = dict(rows(store, "SELECT outcome, COUNT(*) FROM ledger GROUP BY outcome"))
        db = Sqlite(str(store), owns=False)
        wrong = list(differences(db))
        db.close()
    raise SystemExit(told(seen, kept, outcomes, wrong, round(asked.cap_usd * 10**9)))


def told(
    seen: Seen, kept: Counter[str], outcomes: dict[str, int], wrong: list[Any], cap: int
) -> int:
    """Write the page; 1 where something does not hold."""
    lost, deaths = seen.lost(set(kept)), Counter(what for what, _ in seen.killed)
    early = [seconds for seconds in lost if seconds > LAST_S]
    twice = [name for name, times in kept.items() if times > 1]
    write(
        "kills",
        "Gateways, the owner and the node killed under load",
        f"{CLIENTS} clients, two gateways, simulated engines; SIGKILL at random moments: "
        + ", ".join(f"{count} x {what}" for what, count in sorted(deaths.items()))
        + ". After the node's death a new one starts on what the file holds.",
        [
            "| what | figure |",
            "|---|---|",
            f"| answers that a client had whole | {len(seen.told)} |",
            f"| without a record, of them | {len(lost)} |",
            f"| of these, more than {LAST_S:g} s before a gateway died | {len(early)} |",
            f"| requests with two records | {len(twice)} |",
            f"| records booked as `gateway_lost` | {outcomes.get('gateway_lost', 0)} |",
            f"| most ever settled and held, of a cap of {cap} nano-USD | {seen.most} |",
            f"| balances that are not the sum of their records | {len(wrong)} |",
            "| still held at the end | 0 |",
            f"| refused by the cap; broken by a death | {seen.refused}; {seen.broken} |",
        ],
    )
    failed = bool(early or twice or wrong) or seen.most > cap
    if failed:
        print(early[:5], twice[:5], wrong[:3], file=sys.stderr)
    return int(failed)


def waiting(store: Path) -> bool:
    """Whether records of dead gateways are still in their files."""
    folder = AccountsConfig(store=str(store)).waiting
    return folder is not None and any(file.stat().st_size for file in folder.glob("*"))


def rows(store: Path, sql: str) -> list[Any]:
    """What the file says, read as any program may."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


if __name__ == "__main__":
    main()
