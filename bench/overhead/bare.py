"""Latency and throughput beside vLLM's own OpenAI server: same model, options, machine and run.

    python -m bench.overhead.bare

Bare vLLM has its worker inside the EngineCore, as ours has; beside it stand vLLM as it ships, and
what others put in front: LiteLLM's proxy and vLLM's router. Only one of them runs at a time; rounds
alternate, and shares are taken within a round. smallfirst answers `model: auto` with its classifier
in the way; a threshold of 1 keeps every answer small, and a simulated large tier keeps the second
engine off the cores. With its answers unchecked it sends the first token as it comes.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer
from rich.progress import track

from bench.overhead import report, rivals
from bench.overhead.load import Load, Run, run
from bench.overhead.servers import Server, application, bare_vllm

COMMAND = "python -m bench.overhead.bare"
ARGS = {
    "classifier": {"threshold": 1.0},
    "small": {"model": "measured", "engine": {"kind": "vllm", "path": "builtin:small"}},
    "large": {"model": "unused", "engine": {"kind": "simulated"}},
}
UNCHECKED = {**ARGS, "answer_check": {"enabled": False}}
LOADS = [Load(1, 10, 32), Load(8, 32, 32), Load(32, 64, 32)]
WARM_UP = Load(8, 16, 16)
BARE, SHIPPED = "bare vLLM", "bare vLLM as shipped"
SERVERS: dict[str, tuple[str, Callable[[int], AbstractContextManager[Server]]]] = {
    BARE: ("bare", bare_vllm),
    SHIPPED: ("bare", lambda port: bare_vllm(port, as_shipped=True)),
    "smallfirst": ("auto", lambda port: application(ARGS, port)),
    "smallfirst, answers unchecked": ("auto", lambda port: application(UNCHECKED, port)),
    "smallfirst, HAProxy": ("auto", lambda port: application(ARGS, port, haproxy=True)),
    "LiteLLM": ("bare", lambda port: rivals.litellm(bare_vllm, "bare", port)),
    "vllm-router": ("bare", lambda port: rivals.vllm_router(bare_vllm, port)),
}
PROMPTS = [
    "Is this review positive or negative? 'The kettle broke after two days.'",
    "Extract the date: 'The meeting was moved to 3 March 2026 at noon.'",
    "Summarise in one sentence: The library opens at nine and closes at six, except on Sundays.",
    "What is the capital of Portugal?",
    "Write a polite reply that says we are out of stock.",
    "List three uses of baking soda.",
    "Translate to French: 'Where is the station?'",
    "Which category fits 'my card was stolen': billing, fraud or shipping?",
    "Give the plural of 'mouse' and 'child'.",
    "Is 'hello@example' a valid e-mail address? Answer yes or no, and why.",
    "Correct the spelling: 'We recieved you're letter yesterday.'",
    "What does HTTP status 404 mean?",
    "Turn into a question: 'The train leaves at eight.'",
    "Name the largest planet and one of its moons.",
    "Explain in one sentence what a queue is.",
    "Rewrite in the past tense: 'She walks to work and buys bread.'",
]


def measured(name: str, port: int) -> list[dict[str, Any]]:
    """One row for each load."""
    model, start = SERVERS[name]
    rows = []
    with start(port) as server:
        run(server.url, model, WARM_UP, PROMPTS)
        for load in LOADS:
            cpu_s, delay_s = server.cpu_s(), server.run_delay_s()
            answered = run(server.url, model, load, PROMPTS)
            rows.append(
                {"server": name, "clients": load.clients, "ready_s": server.ready_s}
                | seen_by_clients(answered)
                | {
                    "cpu_s": spent(cpu_s, server.cpu_s()),
                    "run_delay_s": spent(delay_s, server.run_delay_s()),
                }
            )
    return rows


def seen_by_clients(answered: Run) -> dict[str, Any]:
    """Throughput, time to the first token, and the gaps between a stream's reads."""
    gaps_ms = sorted(gap * 1e3 for sample in answered.samples for gap in sample.gaps_s)
    longest_ms = [max(sample.gaps_s, default=0.0) * 1e3 for sample in answered.samples]
    return {
        "tokens": answered.tokens,
        "tokens_per_s": answered.tokens / answered.wall_s,
        "ttft_ms": sorted(sample.ttft_s * 1e3 for sample in answered.samples),
        "gap_ms": {str(share): quantile(gaps_ms, share) for share in (0.5, 0.95, 0.99)},
        "longest_gap_ms": sorted(longest_ms),
    }


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Seconds by role between two readings."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value at a share of the way through sorted values."""
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


def shares(rows: list[dict[str, Any]], name: str, base: str, clients: int) -> list[float]:
    """A server's tokens/s over another's in the rounds that both were in, sorted."""

    def throughputs(server: str) -> dict[int, float]:
        return {
            row["round"]: row["tokens_per_s"]
            for row in rows
            if row["server"] == server and row["clients"] == clients
        }

    ours, theirs = throughputs(name), throughputs(base)
    return sorted(ours[round_] / theirs[round_] for round_ in ours.keys() & theirs.keys())


def shown(rows: list[dict[str, Any]]) -> str:
    """The table of medians over rounds; shares with their range."""
    lines = []
    for load in LOADS:
        for name in SERVERS:
            mine = [r for r in rows if r["server"] == name and r["clients"] == load.clients]
            if not mine:
                continue
            ttft_ms = sorted(time for row in mine for time in row["ttft_ms"])
            longest_ms = sorted(time for row in mine for time in row["longest_gap_ms"])
            gaps = [
                statistics.median(row["gap_ms"][share] for row in mine)
                for share in ("0.5", "0.95", "0.99")
            ]
            times = [quantile(ttft_ms, 0.5), quantile(ttft_ms, 0.95), *gaps]
            times.append(statistics.median(longest_ms))
            throughput = statistics.median(row["tokens_per_s"] for row in mine)
            of_bare = (
                with_range(shares(rows, name, base, load.clients)) for base in (BARE, SHIPPED)
            )
            lines.append(
                [load.clients, name, *(f"{ms:.0f}" for ms in times), f"{throughput:.1f}", *of_bare]
            )
    head = ["clients", "server", "TTFT p50 ms", "TTFT p95", "gap p50", "gap p95", "gap p99"]
    head += ["longest gap a stream, p50", "tokens/s", "of bare", "of bare as shipped"]
    return report.table(head, lines)


def with_range(ratios: Sequence[float]) -> str:
    """The median of sorted ratios, and the least and greatest."""
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main(
    rounds: Annotated[int, typer.Option(help="Rounds; each starts every server once.")] = 5,
    only: Annotated[list[str] | None, typer.Option(help="Start just these of them.")] = None,
    append: Annotated[bool, typer.Option(help="Add to the rounds of results/bare.json.")] = False,
    port: int = 8321,
) -> None:
    """Measure, print the table, write results/bare.*."""
    if unknown := set(only or ()) - set(SERVERS):
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(SERVERS)}.")
    rows: list[dict[str, Any]] = report.earlier("bare") if append else []
    first = max((row["round"] for row in rows), default=-1) + 1
    names = [name for name in SERVERS if not only or name in only]
    # Each round begins with another server: what a neighbour on this machine does for some minutes
    # shall not meet the same one every time.
    plan = [
        (round_, name)
        for round_ in range(first, first + rounds)
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]
    ]
    for round_, name in track(plan, description="servers"):
        rows += [{"round": round_, **row} for row in measured(name, port)]
        text = shown(rows)
        report.write("bare", COMMAND, rows, text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
