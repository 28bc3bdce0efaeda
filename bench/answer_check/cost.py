"""What the answer check costs: `python -m bench.answer_check.cost [--engine]`.

Without options: streams of a simulated small tier through the gateway in this process, held against
not held (`x-smallfirst-answer-check: off`), taking turns: time to the first token and tokens a
second. `--engine`: the default model on vLLM in this process, with its log-probabilities read off
against without, taking turns: what the sampler pays. Prints one line a figure.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import orjson
import typer

from bench.faults.in_process import gateway_app
from bench.faults.upstreams import served
from deployments.gateway.judge import HOLD_TOKENS
from deployments.protocol.engine import EngineRequest
from deployments.replicas.build_engine import vllm_environment
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

AT_ONCE = 16
ROUNDS = 6
TOKENS = 64
NOWHERE = [{"name": "none", "base_url": "http://127.0.0.1:9/v1", "model": "m"}]


async def streamed(http: Any, off: bool) -> tuple[float, int, float]:
    """Seconds to the first token of one stream, its tokens, and its seconds."""
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": "Tell me about rivers"}],
        "stream": True,
        "max_tokens": TOKENS,
    }
    headers = {"x-smallfirst-answer-check": "off"} if off else {}
    began_s, first_s, tokens = time.perf_counter(), 0.0, 0
    async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {") and orjson.loads(line[6:]).get("choices"):
                content = orjson.loads(line[6:])["choices"][0]["delta"].get("content")
                if content:
                    first_s = first_s or time.perf_counter() - began_s
                    tokens += 1
    return first_s, tokens, time.perf_counter() - began_s


async def through_the_gateway() -> None:
    """Held against not held."""
    ttft: dict[bool, list[float]] = {True: [], False: []}
    rate: dict[bool, list[float]] = {True: [], False: []}
    async with gateway_app(NOWHERE) as app, served(app) as http:
        for round_ in range(2 * ROUNDS):
            off = round_ % 2 == 0
            began_s = time.perf_counter()
            done = await asyncio.gather(*(streamed(http, off) for _ in range(AT_ONCE)))
            ttft[off] += [first_s for first_s, _, _ in done]
            rate[off].append(sum(tokens for _, tokens, _ in done) / (time.perf_counter() - began_s))
    for off, name in ((True, "not held"), (False, f"held for {HOLD_TOKENS} tokens at most")):
        p50, p95 = np.quantile(ttft[off], [0.5, 0.95]) * 1e3
        print(
            f"{name}: TTFT p50 {p50:.0f} ms, p95 {p95:.0f} ms, {np.median(rate[off]):.0f} chunks/s"
        )
    print(f"chunks/s held of not held: {np.median(rate[False]) / np.median(rate[True]):.3f}")


async def in_the_engine() -> None:
    """Log-probabilities read off against not."""
    config = VllmConfig()
    set_defaults(vllm_environment(config))
    from deployments.vllm.engine import VllmEngine

    engine = VllmEngine(config, "small")
    await engine.start()
    rate: dict[bool, list[float]] = {True: [], False: []}
    try:
        await _round(engine.generate, False, 0)  # what is compiled or cached at first
        await _round(engine.generate, True, 0)
        for round_ in range(2 * ROUNDS):
            wanted = round_ % 2 == 0
            rate[wanted].append(await _round(engine.generate, wanted, round_))
    finally:
        await engine.stop()
    for wanted, name in ((False, "without"), (True, "with log-probabilities")):
        print(f"{name}: {np.median(rate[wanted]):.1f} tokens/s, rounds {np.round(rate[wanted], 1)}")
    ratios = [a / b for a, b in zip(rate[True], rate[False], strict=True)]
    print(f"with of without: {np.median(ratios):.3f}, rounds {np.round(ratios, 3)}")


async def _round(generate: Callable[..., Any], wanted: bool, number: int) -> float:
    """Tokens a second of `AT_ONCE` answers."""

    async def one(at: int) -> int:
        messages = [{"role": "user", "content": f"Tell me about river number {at}."}]
        limits = {"max_tokens": TOKENS, "min_tokens": TOKENS, "temperature": 0}
        body = {"model": "small", "messages": messages, "stream": True, **limits}
        name = f"r-{number}-{wanted}-{at}"
        chunks = [c async for c in generate(EngineRequest("chat", body, name, logprobs=wanted))]
        tokens: int = chunks[-1].usage.completion_tokens
        return tokens

    began_s = time.perf_counter()
    tokens = sum(await asyncio.gather(*(one(at) for at in range(AT_ONCE))))
    return tokens / (time.perf_counter() - began_s)


def main(
    engine: Annotated[bool, typer.Option(help="On vLLM, instead of through the gateway.")] = False,
) -> None:
    """Measure."""
    asyncio.run(in_the_engine() if engine else through_the_gateway())


if __name__ == "__main__":
    typer.run(main)
