"""A closed loop of streaming clients: each sends its next request when its last is answered."""

import asyncio
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

# A chunk that carries text, not only a role.
TEXT = re.compile(rb'"content":\s*"[^"]')
COMPLETION_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True)
class Load:
    """How much is asked of an endpoint."""

    clients: int
    requests: int
    max_tokens: int


@dataclass(frozen=True)
class Sample:
    """One answered request; times in seconds."""

    ttft_s: float
    total_s: float
    tokens: int
    # Reads of the socket: how many pieces the answer came in.
    reads: int
    # Between one read that carried text and the next.
    gaps_s: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """All requests of a load, and how long they took together."""

    samples: list[Sample]
    wall_s: float

    @property
    def tokens(self) -> int:
        """Tokens of all answers."""
        return sum(sample.tokens for sample in self.samples)


def run(url: str, model: str, load: Load, prompts: Sequence[str]) -> Run:
    """Answer `load.requests` streaming chat requests with `load.clients` clients.

    Raises: `RuntimeError` at the first answer that is not complete.
    """
    return asyncio.run(_run(url, model, load, prompts))


async def _run(url: str, model: str, load: Load, prompts: Sequence[str]) -> Run:
    queue = [_body(model, prompts[i % len(prompts)], load) for i in range(load.requests)]
    samples: list[Sample] = []

    async def client(session: aiohttp.ClientSession) -> None:
        while queue:
            samples.append(await _ask(session, f"{url}/chat/completions", queue.pop()))

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        started = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(load.clients)))
        return Run(samples, time.perf_counter() - started)


def _body(model: str, prompt: str, load: Load) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": load.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Sample:
    started = time.perf_counter()
    ttft_s = 0.0
    answer = bytearray()
    reads = 0
    texts_at: list[float] = []
    async with session.post(url, json=body) as response:
        async for chunk in response.content.iter_any():
            reads += 1
            answer += chunk
            if TEXT.search(chunk):
                texts_at.append(time.perf_counter())
            if not ttft_s and TEXT.search(answer):
                ttft_s = time.perf_counter() - started
    counted = COMPLETION_TOKENS.findall(answer)
    if response.status != 200 or b"data: [DONE]" not in answer or not counted:
        raise RuntimeError(f"HTTP {response.status}: {bytes(answer[-300:])!r}")
    gaps_s = tuple(later - sooner for sooner, later in itertools.pairwise(texts_at))
    return Sample(ttft_s, time.perf_counter() - started, int(counted[-1]), reads, gaps_s)
