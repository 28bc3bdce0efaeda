"""The share of a gateway's throughput that accounts take.

    python -m bench.accounts.throughput

One gateway's ASGI application in this process, without sockets, Ray or an engine: its tiers answer
at once with 64 chunks. What is left is the gateway's own work, so that the share is the largest
that it can be. CPU of this process; the owner is another one.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette

from bench.accounts.budget_path import BODY, KEY, own
from bench.accounts.report import write
from deployments.accounting.accounts import Accounts, Sources
from deployments.accounting.booking import OpenExchanges
from deployments.accounting.exchange import Exchange
from deployments.accounting.price import Price
from deployments.gateway.answering import Gateway
from deployments.gateway.ports import Ports
from deployments.http.api import build_api
from deployments.http.api_keys import ApiKeys, Caller
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.routing.shared_state import LocalState
from deployments.settings.app import AppConfig, TierName

CHUNKS = 64
REQUESTS = 1500
ROUNDS = 5
PRICES = {"usd_per_million_prompt_tokens": 2.5, "usd_per_million_completion_tokens": 10}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'


class Answer:
    """Chunks that are there at once."""

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        for at in range(1, CHUNKS + 1):
            yield Chunk(EVENT, Usage(250, at), content=True, done=at == CHUNKS)

    async def close(self) -> None:
        """Nothing runs."""


class AtOnce:
    """Stands in for scorer, tiers and health."""

    async def score(self, _: Any) -> None:
        """No score."""

    async def open(self, _: EngineRequest, __: float) -> Answer:
        """An answer."""
        return Answer()

    def up(self, _: TierName) -> bool:
        """Always."""
        return True


class Known(ApiKeys):
    """Knows everybody as the one key."""

    def check(self, authorizations: list[str]) -> Caller:
        """The key."""
        return Caller(KEY.key_id, KEY)


async def requested(app: Starlette) -> None:
    """One streamed request through the application."""
    body = orjson.dumps({**BODY, "model": "small", "stream": True})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }
    sent = asyncio.Event()
    first = [True]

    async def receive() -> MutableMapping[str, Any]:
        if first:
            first.pop()
            return {"type": "http.request", "body": body, "more_body": False}
        await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message
        elif not message.get("more_body"):
            sent.set()

    await app(scope, receive, send)


def gateway(accounts: Accounts | None, running: OpenExchanges) -> Starlette:
    """The application, with or without accounts."""
    tiers = {name: {"engine": {"kind": "simulated"}, **PRICES} for name in ("small", "large")}
    config = AppConfig.model_validate(
        {name: {"model": f"{name}-m", **tier} for name, tier in tiers.items()}
    )
    stand_in = AtOnce()

    def settle(exchange: Exchange) -> None:
        if accounts is not None:
            accounts.settle(exchange.hold, running.settled(exchange))

    ports = Ports(
        stand_in,
        {"small": stand_in, "large": stand_in},
        stand_in,
        LocalState(config),
        settle,
        accounts=accounts,
        opened=running.opened if accounts else lambda _: None,
    )
    return build_api(Gateway(config, ports), Known(None), lambda _: 1, False)


async def cpu_ms(app: Starlette, at_once: int = 16) -> float:
    """CPU of a request, ms."""
    before = time.process_time()
    for _ in range(REQUESTS // at_once):
        await asyncio.gather(*(requested(app) for _ in range(at_once)))
    return (time.process_time() - before) / REQUESTS * 1e3


async def measure(pipe: Connection) -> tuple[list[float], list[float]]:
    """Rounds of both, in turn."""
    thread = ThreadPoolExecutor(1)

    def call(report: bytes) -> bytes:
        pipe.send_bytes(report)
        return pipe.recv_bytes()

    async def say(report: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(thread, call, report)

    price = Price(2_500_000_000, 10_000_000_000)
    running = OpenExchanges(price, "bench")
    sources = Sources(running.records, lambda: {"small": 1})
    accounts = Accounts("gateway", say, sources, lambda _: None, False)
    accounts.start()
    await accounts.known.wait()
    bare, kept = gateway(None, running), gateway(accounts, running)
    for app in (bare, kept):
        await cpu_ms(app)
    gc.collect()
    gc.freeze()
    without, with_accounts = [], []
    for _ in range(ROUNDS):
        without.append(await cpu_ms(bare))
        with_accounts.append(await cpu_ms(kept))
    await accounts.close()
    return without, with_accounts


def main() -> None:
    """Measure, and write the page."""
    here, there = Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = Process(target=own, args=(there, str(Path(folder) / "a.sqlite")))
        process.start()
        without, kept = asyncio.run(measure(here))
        here.send_bytes(b"end")
        process.join()
    before, after = statistics.median(without), statistics.median(kept)
    write(
        "throughput",
        "The share of a gateway's work that accounts are",
        f"{ROUNDS} rounds of {REQUESTS} streamed requests of {CHUNKS} chunks, 16 at once, in turn "
        "with no accounts and with a key that has caps and limits; medians. The denominator is the "
        "gateway's own work: no sockets, no Ray, no engine. Wanted: 3% of throughput at most.",
        [
            "| CPU of a request | ms |",
            "|---|---|",
            f"| without accounts | {before:.3f} |",
            f"| with accounts | {after:.3f} |",
            f"| accounts | {after - before:.3f} ({(after - before) / after:.1%}) |",
        ],
    )


if __name__ == "__main__":
    main()
