"""What the answer check costs, on against off, taking turns: `python -m bench.answer_check.cost`.

Without options: a simulated small tier behind the gateway in this process. `--url URL`: a running
endpoint, with what its config says of the check. Both stream, with `x-smallfirst-answer-check: off`
and without it: tokens a second, and the time to the first one in steps (the median time between
tokens). `--engine`: the default model on vLLM in this process, with
its log-probabilities read off against without: what the sampler pays. Prints one line a figure.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import numpy as np
import orjson
import typer

from bench.faults.in_process import gateway_app
from bench.faults.upstreams import served
from deployments.protocol.engine import EngineRequest
from deployments.replicas.build_engine import vllm_environment
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

TOKENS = 64
NOWHERE = [{"name": "none", "base_url": "http://127.0.0.1:9/v1", "model": "m"}]
OFF = {"x-smallfirst-answer-check": "off"}
BOOTSTRAPS = 1000


@dataclass
class Side:
    """What the streams of one side showed."""

    ttft_s: list[float] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)
    # Tokens a second of each round.
    rates: list[float] = field(default_factory=list)
    # Streams that the large tier gave.
    large: int = 0


def question(number: int) -> dict[str, Any]:
    """A chat about something of its own, so that no prefix is shared but the template's."""
    asked = f"Tell me about river number {number}."
    body = {"messages": [{"role": "user", "content": asked}], "stream": True, "temperature": 0}
    return {**body, "max_tokens": TOKENS, "stream_options": {"include_usage": True}}


async def streamed(http: httpx.AsyncClient, number: int, off: bool, side: Side) -> int:
    """Take one stream; return its tokens."""
    body = {"model": "auto", **question(number)}
    began_s, at_s, tokens = time.perf_counter(), 0.0, 0
    async with http.stream(
        "POST", "/v1/chat/completions", json=body, headers=OFF if off else {}
    ) as answer:
        answer.raise_for_status()
        small = answer.headers["x-smallfirst-tier"] == "small"
        side.large += not small
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = orjson.loads(line[6:])
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            if not (event["choices"] and event["choices"][0]["delta"].get("content")):
                continue
            now_s = time.perf_counter()
            if small:
                (side.gap_s if at_s else side.ttft_s).append(now_s - (at_s or began_s))
            at_s = now_s
    return tokens


async def taking_turns(http: httpx.AsyncClient, rounds: int, clients: int) -> None:
    """Rounds of streams with the check on and off, and what they show."""
    on, off = Side(), Side()
    for round_ in range(-1, rounds):  # the first is not counted: caches, kernels
        for at, side in enumerate((off, on) if round_ % 2 else (on, off)):
            first = (2 * round_ + at) * clients
            began_s = time.perf_counter()
            asked = (
                streamed(http, first + one, side is off, Side() if round_ < 0 else side)
                for one in range(clients)
            )
            tokens = sum(await asyncio.gather(*asked))
            if round_ >= 0:
                side.rates.append(tokens / (time.perf_counter() - began_s))
    step_s = float(np.median(off.gap_s))
    print(f"{clients} clients, {rounds} rounds of each, {TOKENS} tokens at most")
    for name, side in (("off", off), ("on", on)):
        p50, p95 = np.quantile(side.ttft_s, [0.5, 0.95]) * 1e3
        print(
            f"check {name}: {np.median(side.rates):.1f} tokens/s; TTFT p50 {p50:.0f} ms, p95 "
            f"{p95:.0f} ms; {side.large} of {rounds * clients} answered by the large tier"
        )
    added = [np.quantile(on.ttft_s, q) - np.quantile(off.ttft_s, q) for q in (0.5, 0.95)]
    print(
        f"added TTFT p50 {added[0] * 1e3:.0f} ms, p95 {added[1] * 1e3:.0f} ms; in steps of "
        f"{step_s * 1e3:.0f} ms: {added[0] / step_s:.1f} and {added[1] / step_s:.1f}"
    )
    print(f"tokens/s on of off: {ratio(on.rates, off.rates)}")


def ratio(one: list[float], other: list[float]) -> str:
    """The median of the rounds' ratios, with its 95% interval (bootstrap over rounds)."""
    ratios = np.array(one) / np.array(other)
    drawn = np.random.default_rng(0).choice(ratios, (BOOTSTRAPS, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return f"{np.median(ratios):.3f} ({low:.3f} to {high:.3f}), {len(ratios)} rounds"


async def through_a_gateway(rounds: int, clients: int) -> None:
    """The gateway in this process."""
    async with gateway_app(NOWHERE) as app, served(app) as http:
        await taking_turns(http, rounds, clients)


async def through_an_endpoint(url: str, rounds: int, clients: int) -> None:
    """A running endpoint."""
    async with httpx.AsyncClient(base_url=url, timeout=600.0, trust_env=False) as http:
        await taking_turns(http, rounds, clients)


async def in_the_engine(rounds: int, clients: int) -> None:
    """Log-probabilities read off against not."""
    config = VllmConfig()
    set_defaults(vllm_environment(config))
    from deployments.vllm.engine import VllmEngine

    engine = VllmEngine(config, "small")
    await engine.start()
    rates: dict[bool, list[float]] = {True: [], False: []}
    try:
        for round_ in range(-1, rounds):  # the first is not counted: caches, kernels
            for wanted in (True, False) if round_ % 2 else (False, True):
                rate = await _round(engine.generate, wanted, round_, clients)
                if round_ >= 0:
                    rates[wanted].append(rate)
    finally:
        await engine.stop()
    for wanted, name in ((False, "without"), (True, "with log-probabilities")):
        print(f"{name}: {np.median(rates[wanted]):.1f} tokens/s")
    print(f"with of without, {clients} at once: {ratio(rates[True], rates[False])}")


async def _round(generate: Callable[..., Any], wanted: bool, round_: int, clients: int) -> float:
    """Tokens a second of as many answers as there are clients."""

    async def one(at: int) -> int:
        body = {"model": "small", **question(round_ * clients + at), "min_tokens": TOKENS}
        request = EngineRequest("chat", body, f"r-{round_}-{wanted}-{at}", logprobs=wanted)
        chunks = [chunk async for chunk in generate(request)]
        tokens: int = chunks[-1].usage.completion_tokens
        return tokens

    began_s = time.perf_counter()
    tokens = sum(await asyncio.gather(*(one(at) for at in range(clients))))
    return tokens / (time.perf_counter() - began_s)


def main(
    url: Annotated[str | None, typer.Option(help="A running endpoint, to be measured.")] = None,
    engine: Annotated[bool, typer.Option(help="vLLM in this process, no gateway.")] = False,
    rounds: Annotated[int, typer.Option(min=3, help="Of each side.")] = 12,
    clients: Annotated[int, typer.Option(min=1, help="At once.")] = 16,
) -> None:
    """Measure."""
    if url:
        asyncio.run(through_an_endpoint(url, rounds, clients))
    elif engine:
        asyncio.run(in_the_engine(rounds, clients))
    else:
        asyncio.run(through_a_gateway(rounds, clients))


if __name__ == "__main__":
    typer.run(main)
