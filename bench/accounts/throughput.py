"""The share of a gateway's throughput that accounts take.

    python -m bench.accounts.throughput

One gateway behind uvicorn in this process, without Ray or an engine: its tiers answer at once with
64 chunks. What is left is the gateway's own work, so that the share is larger than in any endpoint
that decodes. CPU of this process; its clients are another one, the owner a third.
"""

import asyncio
import gc
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from bench.accounts.budget_path import BODY, KEY, own
from bench.accounts.report import write
from deployments.accounting.accounts import Accounts, Sources
from deployments.accounting.booking import OpenExchanges
from deployments.accounting.exchange import Exchange
from deployments.accounting.price import Price
from deployments.accounting.waiting_records import WaitingRecords
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


async def _ask(url: str, requests: int, at_once: int) -> None:
    body = {**BODY, "model": "small", "stream": True}
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:

        async def one() -> None:
            async with client.stream("POST", url, json=body) as answer:
                assert answer.status_code == 200, answer.status_code
                async for _ in answer.aiter_raw():
                    pass

        for _ in range(requests // at_once):
            await asyncio.gather(*(one() for _ in range(at_once)))


def ask(pipe: Connection, at_once: int = 16) -> None:
    """The clients' process: asks so often at the URL that it is told, until it is told none."""
    while (said := pipe.recv()) is not None:
        url, requests = said
        asyncio.run(_ask(url, requests, at_once))
        pipe.send(True)


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


@asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """The application on a free port; gives where to ask."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
    server.should_exit = True
    await serving


async def cpu_ms(url: str, clients: Connection) -> float:
    """CPU of a request, ms."""
    before = time.process_time()
    clients.send((url, REQUESTS))
    await asyncio.to_thread(clients.recv)
    return (time.process_time() - before) / REQUESTS * 1e3


async def measure(pipe: Connection, clients: Connection) -> tuple[list[float], list[float]]:
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
    accounts = Accounts("gateway", say, sources, WaitingRecords(lambda _: None), False)
    accounts.start()
    await accounts.known.wait()
    without, with_accounts = [], []
    async with (
        listening(gateway(None, running)) as bare,
        listening(gateway(accounts, running)) as kept,
    ):
        for url in (bare, kept):
            await cpu_ms(url, clients)
        gc.collect()
        gc.freeze()
        for _ in range(ROUNDS):
            without.append(await cpu_ms(bare, clients))
            with_accounts.append(await cpu_ms(kept, clients))
    await accounts.close()
    return without, with_accounts


def main() -> None:
    """Measure, and write the page."""
    here, there = Pipe()
    clients, their_end = Pipe()
    asking = Process(target=ask, args=(their_end,))
    asking.start()
    with tempfile.TemporaryDirectory() as folder:
        process = Process(target=own, args=(there, str(Path(folder) / "a.sqlite")))
        process.start()
        without, kept = asyncio.run(measure(here, clients))
        here.send_bytes(b"end")
        process.join()
    clients.send(None)
    asking.join()
    before, after = statistics.median(without), statistics.median(kept)
    write(
        "throughput",
        "The share of a gateway's work that accounts are",
        f"{ROUNDS} rounds of {REQUESTS} streamed requests of {CHUNKS} chunks, 16 at once, in turn "
        "with no accounts and with a key that has caps and limits; medians. The denominator is the "
        "gateway's own work with its sockets: no Ray, no engine. Wanted: 3% of throughput at most.",
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
