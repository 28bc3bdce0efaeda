"""What a cap costs a request: the time to admit and settle, and the share of a gateway's work.

    python -m bench.accounts.budget_path

A real owner on a real file in a process of its own, behind a pipe; gateways' side in this one.
`admit` is what a request waits before it is routed, `settle` what it spends at its end.
"""

import argparse
import asyncio
import gc
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import orjson

from bench.accounts.report import write
from deployments.accounting.accounts import Accounts, Sources
from deployments.accounting.booking import record_of
from deployments.accounting.estimate import estimate
from deployments.accounting.exchange import Exchange
from deployments.accounting.owner import Owner, Rules
from deployments.accounting.price import Price
from deployments.accounting.purse import Hold, Need
from deployments.accounting.turns import decode_report, encode_reply
from deployments.accounting.waiting_records import WaitingRecords
from deployments.protocol.chunk import Usage
from deployments.protocol.openai_request import ParsedRequest, parse
from deployments.routing.cause import Cause
from deployments.routing.route import Route
from deployments.settings.api_key import ApiKey, Limits, UsdCaps
from deployments.store.sqlite import Sqlite

PRICE = Price(2_500_000_000, 10_000_000_000)
KEY = ApiKey(
    key_id="k1",
    name="bench",
    created_s=0,
    limits=Limits(usd=UsdCaps(day=10_000, month=100_000), requests_per_minute=10**7),
)
PROMPT = "Explain the difference between a process and a thread. " * 20
BODY = {
    "model": "auto",
    "max_tokens": 256,
    "messages": [{"role": "user", "content": PROMPT}],
}


def own(pipe: Connection, path: str) -> None:
    """The owner's process."""
    owner = Owner(lambda owns: Sqlite(path, owns=owns), Rules(), lambda _: None)
    owner.put_key(KEY)
    while (said := pipe.recv_bytes()) != b"end":
        pipe.send_bytes(encode_reply(owner.turn(decode_report(said))))
    owner.books.close()


async def one(accounts: Accounts, request: ParsedRequest, took: list[tuple[float, float]]) -> None:
    """A request's budget path, without the request."""
    started_s = time.perf_counter()
    most = estimate(request, accounts.purse("k1").lengths)
    need = Need(PRICE.most_nano_usd(most.usage, 60.0), sum(most.usage))
    hold = await accounts.admit("k1", KEY, need)
    assert isinstance(hold, Hold), hold
    await accounts.cover(hold, need.nano_usd // 2)
    admitted_s = time.perf_counter()
    exchange = Exchange("r", "chat", "auto", False, started_s, key_id="k1", hold=hold)
    attempt = exchange.attempt(Route("small", Cause.CLASSIFIER, True), "m", PRICE)
    attempt.usage = Usage(250, 200)
    exchange.end(None)
    begun_s = time.perf_counter()
    accounts.settle(hold, record_of(exchange, PRICE, "bench"))
    took.append((admitted_s - started_s, time.perf_counter() - begun_s))


def waited(times: int = 20_000) -> list[float]:
    """The same measurement of as much work that asks nobody: what the machine itself adds, ms."""
    took = []
    for _ in range(times):
        time.sleep(0.001)
        started_s = time.perf_counter()
        sum(range(10_000))
        took.append((time.perf_counter() - started_s) * 1e3)
    return took


async def measure(pipe: Connection, requests: int, per_s: float) -> list[tuple[float, float]]:
    """Requests at a steady rate, each on its own."""
    thread = ThreadPoolExecutor(1)

    def call(report: bytes) -> bytes:
        pipe.send_bytes(report)
        return pipe.recv_bytes()

    async def say(report: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(thread, call, report)

    accounts = Accounts("gateway", say, Sources(list, dict), WaitingRecords(lambda _: None), False)
    accounts.start()
    await accounts.known.wait()
    request = parse("chat", orjson.dumps(BODY))
    # As a gateway does when it has started.
    gc.collect()
    gc.freeze()
    took: list[tuple[float, float]] = []
    begin_s = time.perf_counter()
    for number in range(requests):
        wait_s = begin_s + number / per_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await one(accounts, request, took)
    await accounts.close()
    return took


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--per-s", type=float, default=300.0)
    asked = parser.parse_args()
    here, there = Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = Process(target=own, args=(there, str(Path(folder) / "a.sqlite")))
        process.start()
        took = asyncio.run(measure(here, asked.requests, asked.per_s))
        here.send_bytes(b"end")
        process.join()
    alone = np.array(waited())
    admit, settle = (np.array(column) * 1e3 for column in zip(*took, strict=True))
    both = admit + settle
    lines = ["| part | p50 ms | p99 ms | p99.9 ms | mean ms |", "|---|---|---|---|---|"]
    for name, ms in (
        ("admit", admit),
        ("settle", settle),
        ("both", both),
        ("a loop of no use", alone),
    ):
        p50, p99, p999 = np.percentile(ms, [50, 99, 99.9])
        lines.append(f"| {name} | {p50:.3f} | {p99:.3f} | {p999:.3f} | {ms.mean():.3f} |")
    write(
        "budget_path",
        "What a cap costs a request",
        f"{asked.requests} requests at {asked.per_s:g}/s, one key with caps for a day and a month "
        "and a limit a minute; the owner is another process, on a file with `synchronous=FULL`. "
        "Wanted: p99 of both at most 2 ms. The last line is a plain loop, timed the same way: "
        "what else ran on the machine.",
        lines,
    )


if __name__ == "__main__":
    main()
