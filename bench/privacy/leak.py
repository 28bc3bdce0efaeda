"""Requests that must stay, down every path that could lead outside, past a recorder of what arrives
there: `python -m bench.privacy.leak` sends 100,000, and ends with 1 where a byte of one arrives.
"""

import asyncio
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from bench.privacy.cases import OWNERS, Case, drawn
from bench.privacy.world import Outcome, world

OUT = Path(__file__).with_name("results") / "leak.md"
REQUESTS = 100_000
# Parts of a process's share, each with a world of its own: progress is told by them.
PARTS = 20
# A metadata field is dropped where it comes in, so that its request may leave, without it.
NEVER_SENT = ("metadata", "unknown field")


def main(
    requests: Annotated[int, typer.Option(min=1)] = REQUESTS,
    seed: int = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with its share.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    """Send them, print what they came to."""
    started_s = time.perf_counter()
    count = min(requests, workers * PARTS)
    share = -(-requests // count)
    with ProcessPoolExecutor(workers) as pool:
        running = pool.map(sent, [share] * count, range(seed, seed + count))
        parts = list(track(running, "asking", count, console=Console(stderr=True)))
    counts = sum((counted for counted, _ in parts), Counter[tuple[str, str]]())
    leaks = [case for _, leaked_here in parts for case in leaked_here]
    date, took_s = datetime.now(UTC).date(), time.perf_counter() - started_s
    lines = [
        "# Requests that must stay, by why and by where they were answered",
        f"{share * count:,} requests, {took_s:.0f} s, {workers} processes, {date}. "
        f"`python -m bench.privacy.leak --requests {requests} --seed {seed}`",
        "",
        f"**{len(leaks)} of which a byte arrived outside.**",
        "",
        "| must stay by | inside | refused | left |",
        "|---|---|---|---|",
    ]
    for why in dict.fromkeys(why for why, _ in sorted(counts)):
        told = " | ".join(str(counts[why, where]) for where in ("inside", "refused", "left"))
        lines.append(f"| {why or 'nothing'} | {told} |")
    print("\n".join([*lines, *map(repr, leaks[:5])]))
    if out is not None:
        out.write_text("\n".join([*lines, ""]), encoding="utf-8")
    raise typer.Exit(bool(leaks))


def sent(requests: int, seed: int) -> tuple[Counter[tuple[str, str]], list[Case]]:
    """`send`, in a process of its own."""
    return asyncio.run(send(requests, random.Random(seed)))


async def send(requests: int, chance: random.Random) -> tuple[Counter[tuple[str, str]], list[Case]]:
    """How many requests ended where, by why they must stay; and those that leaked."""
    counts: Counter[tuple[str, str]] = Counter()
    leaks: list[Case] = []
    async with world() as running:
        for _ in range(requests):
            case = drawn(chance)
            outcome = await running.ask(case)
            counts[case.local_by, where(outcome)] += 1
            if leaked(case, outcome):
                leaks.append(case)
    return counts, leaks


def where(outcome: Outcome) -> str:
    """Where a request ended."""
    if outcome.arrived:
        return "left"
    return "refused" if outcome.error else "inside"


def leaked(case: Case, outcome: Outcome) -> bool:
    """Whether anything that must not be seen was."""
    secret = case.secret.encode()
    if case.secret in outcome.written or (outcome.error and case.secret in str(outcome.error)):
        return True
    if not case.local_by:
        return False
    if case.local_by not in OWNERS and case.place in NEVER_SENT:
        return secret in outcome.arrived
    return bool(outcome.connections or outcome.arrived)


if __name__ == "__main__":
    typer.run(main)
