"""How long a hostile body stops a gateway's event loop, and what memory it takes.

    python -m bench.faults.hostile [--repeats 5]

A gateway in this process, clients in another: its real parsing, flattening and packing for the
replica, in front of tiers that answer at once. For some bodies the large tier is an upstream, and
the privacy policy reads them. A ticker on its loop measures the longest stop while each body
arrives and is answered.
"""

import asyncio
import gzip
import json
import pickle
import platform
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
import uvicorn

import classifier
from bench.faults.bad_bodies import BAD
from bench.faults.report import write_report
from classifier import Score
from deployments.gateway.answering import Gateway
from deployments.gateway.ports import Ports
from deployments.http.api import build_api
from deployments.http.api_keys import ApiKeys
from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.routing.shared_state import LocalState
from deployments.settings.app import AppConfig, TierName

MIB = 2**20
RESULTS = Path(__file__).parent / "results" / "hostile.json"
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "health": "/healthz"}
IDLE: tuple[str, bytes, dict[str, str]] = ("health", b"", {})
OUTSIDE = {
    "engine": {"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "m"},
    "usd_per_million_prompt_tokens": 1.0,
    "usd_per_million_completion_tokens": 1.0,
}
SIMULATED = {"kind": "simulated", "max_model_len": 1_000_000, "kv_cache_tokens": 10_000_000}


def filled(before: bytes, item: bytes, after: bytes, size: int) -> bytes:
    """As many items, with commas between, as fit the size."""
    return before + b",".join([item] * ((size - len(before)) // (len(item) + 1))) + after


def bodies() -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Path, body and headers by name."""
    chat = b'{"model":"auto","max_tokens":2,"messages":['
    prompt = b'{"model":"auto","max_tokens":2,"prompt":['
    user = b'{"role":"user","content":"%s"}'
    some: dict[str, tuple[str, bytes]] = {}
    for mib in (1, 2, 8):
        size = mib * MIB - 1
        some |= {
            f"prompt of {{}}, {mib} MiB": ("completions", filled(prompt, b"{}", b"]}", size)),
            f"messages of 1, {mib} MiB": ("chat", filled(chat, b"1", b"]}", size)),
            f"messages of [], {mib} MiB": ("chat", filled(chat, b"[]", b"]}", size)),
            f"no words, {mib} MiB": ("chat", filled(chat, b'{"role":"user"}', b"]}", size)),
            f"short messages, {mib} MiB": ("chat", filled(chat, user % b"x", b"]}", size)),
            f"token ids, {mib} MiB": ("completions", filled(prompt, b"1", b"]}", size)),
            f"one long text, {mib} MiB": ("chat", chat + user % (b"x " * (size // 2 - 40)) + b"]}"),
            f"quotes, {mib} MiB": ("chat", chat + user % (b'\\"' * (size // 2 - 40)) + b"]}"),
            f"brackets, {mib} MiB": ("chat", b"[" * size),
            f"keys, {mib} MiB": ("chat", b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6)),
            f"unknown fields, {mib} MiB": (
                "chat",
                b'{"model":"auto","messages":[' + user % b"x" + b"],"
                + b",".join(b'"f%07d":1' % n for n in range(size // 13)) + b"}",
            ),
        }  # fmt: skip
    plain = {"content-type": "application/json"}
    found = {name: (path, body, plain) for name, (path, body) in some.items()}
    found |= {f"bad input: {name}": ("chat", body, plain) for name, (body, *_) in BAD.items()}
    packed = plain | {"content-encoding": "gzip"}
    bomb = gzip.compress(chat + user % (b"x" * (8 * MIB - 100)) + b"]}")
    found["gzip to 8 MiB"] = ("chat", bomb, packed)
    found["gzip to 64 MiB"] = ("chat", gzip.compress(b" " * (64 * MIB)), packed)
    return found


def read_bodies() -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Texts that cost the privacy policy most, just within what it reads, and beyond."""
    before, after = (
        b'{"model":"auto","max_tokens":2,"messages":[{"role":"user","content":"',
        b'"}]}',
    )
    texts = {
        "words": b"nothing to be found here ",
        "digits": b"1",
        "digits apart": b"1 ",
        "half addresses": b"a@",
        "quotes": b'\\"',
        "Cyrillic": "привет ".encode(),
    }
    return {
        f"to be read: {name}, {kib} KiB": (
            "chat",
            before + text * (kib * 1024 // len(text)) + after,
            {"content-type": "application/json"},
        )
        for name, text in texts.items()
        for kib in (64, 1000, 8000)
    }


async def sent(port: int, path: str, body: bytes, headers: dict[str, str]) -> str:
    """The status that another process got for a body."""
    url = f"http://127.0.0.1:{port}{PATHS[path]}"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", url]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    client = await asyncio.create_subprocess_exec(
        *command, "-H", "expect:", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    return (await client.communicate(body))[0].decode()


class Scorer:
    """Flattens as the gateway's own client does."""

    async def score(self, conversation: Any) -> Score | None:
        """A small score."""
        classifier.flatten(conversation)
        return Score(0.1, 0.9, 1.0, 0.1, 0.5, None, "none")


class Answer:
    """One word."""

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        yield Chunk(b"{}", Usage(1, 1), True, "stop", done=True)

    async def close(self) -> None:
        """Nothing runs."""


class Tier:
    """Packs a request as the Serve handle does, and answers at once."""

    async def open(self, request: EngineRequest, deadline_s: float) -> Any:
        """The answer."""
        pickle.dumps(wire.encode_request(request))
        return Answer()

    def up(self, _: TierName) -> bool:
        """Always."""
        return True


class Ticker:
    """The most processor time between two turns of the event loop: what else runs on the machine
    does not count."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        """Look every millisecond."""
        last_s = time.process_time()
        while True:
            await asyncio.sleep(0.001)
            now_s = time.process_time()
            self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s


@asynccontextmanager
async def served(port: int, large: dict[str, Any]) -> AsyncIterator[None]:
    """A gateway on this loop."""
    config = AppConfig.model_validate(
        {
            "small": {"model": "sim-small", "engine": SIMULATED},
            "large": {"model": "sim-large", **large},
        }
    )
    tiers: Any = {"small": Tier(), "large": Tier()}
    ports = Ports(Scorer(), tiers, Tier(), LocalState(config), lambda _: None)
    app = build_api(Gateway(config, ports), ApiKeys(None), lambda _: 1, True)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has a flag and no event
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await task


async def measure(
    port: int, repeats: int, large: dict[str, Any], given_bodies: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each body."""
    rows: list[dict[str, Any]] = []
    async with served(port, large):
        for name, given in given_bodies.items():
            ticker = Ticker()
            ticking = asyncio.create_task(ticker.run())
            stops_ms, status = [], ""
            for _ in range(repeats):
                ticker.longest_s = 0.0
                status = await sent(port, *given)
                stops_ms.append(ticker.longest_s * 1e3)
            ticking.cancel()
            rss_mib = psutil.Process().memory_info().rss / MIB
            rows.append(
                {
                    "body": name,
                    "status": status,
                    "stop_ms": [round(stop_ms, 1) for stop_ms in sorted(stops_ms)],
                    "rss_mib": round(rss_mib),
                }
            )
            print(f"{name:45} {status:5} {rows[-1]['stop_ms']} ms, {rss_mib:.0f} MiB", flush=True)
    return rows


def main(
    repeats: Annotated[int, typer.Option(help="How often each body is sent.")] = 5,
    port: Annotated[int, typer.Option(help="A free port.")] = 8765,
) -> None:
    """Measure, and keep the figures in bench/faults/results/hostile.json."""
    inside = {"engine": SIMULATED}
    rows = asyncio.run(measure(port, repeats, inside, {"idle": IDLE, **bodies()}))
    rows += asyncio.run(measure(port, repeats, OUTSIDE, read_bodies()))
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    write_report()


if __name__ == "__main__":
    typer.run(main)
