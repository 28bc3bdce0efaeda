"""The escalated share while scores step, live: `python -m bench.escalation.live`.

`smallfirst serve` with two gateways and the shipped classifier, in front of simulated engines that
answer at once. Prompts of one kind of traffic, then of another, from several clients; who answered
is counted by the answers' own headers. Writes `results/live.md`.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np

from bench.classifier.datasets import gsm8k, mmlu, sample
from bench.faults.endpoint import running_endpoint, wait_until
from classifier.data.rows import Row
from classifier.text import flatten

RESULTS = Path(__file__).with_name("results") / "live.md"
BEFORE, AFTER = 2500, 3000
# What the bar is said of: so many requests after the step, and any so many later.
WINDOW = 2000
CLIENTS = 24
ENGINE = {"kind": "simulated", "first_token_delay_s": 0.0, "inter_token_delay_s": 0.0}
TIER = {"engine": ENGINE, "num_cpus": 0.1, "scaling": {"min_replicas": 1, "max_replicas": 1}}
ARGS = {
    "gateway": {"num_cpus": 0.1, "scaling": {"min_replicas": 2, "max_replicas": 2}},
    "small": {**TIER, "model": "sim-small"},
    "large": {**TIER, "model": "sim-large"},
}


async def escalated(url: str, prompts: Sequence[str]) -> list[bool]:
    """Whether the large tier answered, of each prompt in the order of their answers."""
    left, large = iter(prompts), []

    async def client(http: httpx.AsyncClient) -> None:
        for prompt in left:
            body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
            answer = await http.post("/v1/chat/completions", json={**body, "max_tokens": 4})
            answer.raise_for_status()
            large.append(answer.headers["x-smallfirst-tier"] == "large")

    async with httpx.AsyncClient(base_url=url, timeout=120.0, trust_env=False) as http:
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
    return large


def prompts_of(rows: list[Row], count: int) -> list[str]:
    """So many of their prompts at random, again where there are too few."""
    texts = [flatten(row.conversation) for row in sample(rows, min(count, len(rows)), 0)]
    drawn = np.random.default_rng(0).permutation(count) % len(texts)
    return [texts[at] for at in drawn]


def line(name: str, before: list[bool], after: list[bool]) -> str:
    """A row of the table."""
    shares = np.convolve(after, np.ones(WINDOW) / WINDOW, "valid")
    return (
        f"| {name} | {np.mean(before[-WINDOW:]):.2%} | {shares[0]:.2%} "
        f"| {shares.min():.2%} to {shares.max():.2%} |"
    )


def main() -> None:
    """Step there and back on one endpoint, and write the table."""
    exam, arithmetic = mmlu(), gsm8k()
    with running_endpoint(ARGS) as endpoint:
        wait_until(lambda: len(endpoint.replicas("Gateway")) == 2, 120, "two gateways")
        parts = [(exam, BEFORE), (arithmetic, AFTER), (exam, AFTER)]
        first, there, back = (
            asyncio.run(escalated(endpoint.url, prompts_of(rows, count))) for rows, count in parts
        )
    text = [
        "# The escalated share when scores step, live",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, 2 cores, no GPU; `python -m bench.escalation.live`. Two "
        f"gateways, {CLIENTS} clients, simulated engines, the shipped classifier. Target 5%.",
        "",
        f"| step | {WINDOW} requests before | first {WINDOW} after | any {WINDOW} after |",
        "|---|---|---|---|",
        line("exam to arithmetic", first, there),
        line("arithmetic to exam", there, back),
    ]
    RESULTS.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
