"""Many streams at once, all begun in the same moment, with the arrival of every piece."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

# A chunk that carries text, not only a role.
TEXT = re.compile(rb'"content":\s*"[^"]')
COMPLETION_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass
class Burst:
    """What the clients saw; times in seconds."""

    tokens: int = 0
    wall_s: float = 0.0
    ttft_s: list[float] = field(default_factory=list)
    # Between two pieces of one stream.
    gaps_s: list[float] = field(default_factory=list)


def burst(url: str, model: str, *, streams: int, tokens: int) -> Burst:
    """Ask for `streams` answers of `tokens` tokens at once.

    Raises: `RuntimeError` at the first answer that is not complete.
    """
    return asyncio.run(_burst(url, model, streams, tokens))


async def _burst(url: str, model: str, streams: int, tokens: int) -> Burst:
    seen = Burst()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Say what a river does."}],
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    timeout = aiohttp.ClientTimeout(total=300)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=False
    ) as session:
        started = time.perf_counter()
        one = f"{url}/chat/completions"
        await asyncio.gather(*(_stream(session, one, body, seen) for _ in range(streams)))
        seen.wall_s = time.perf_counter() - started
    return seen


async def _stream(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], seen: Burst
) -> None:
    last = time.perf_counter()
    begun = False
    tail = b""
    async with session.post(url, json=body) as response:
        async for piece in response.content.iter_any():
            now = time.perf_counter()
            if begun:
                seen.gaps_s.append(now - last)
                last = now
            elif TEXT.search(piece):
                begun = True
                seen.ttft_s.append(now - last)
                last = now
            # The usage and the end may come in pieces.
            tail = (tail + piece)[-2000:]
    counted = COMPLETION_TOKENS.findall(tail)
    if response.status != 200 or b"data: [DONE]" not in tail or not counted:
        raise RuntimeError(f"HTTP {response.status}: {tail[-300:]!r}")
    seen.tokens += int(counted[-1])
