"""Latency and throughput beside vLLM's own OpenAI server: same model, options, machine and run.

    python -m bench.overhead.bare

Only one server runs at a time, so that they do not share the cores; rounds alternate. smallfirst
answers `model: auto` with its classifier in the way; a threshold of 1 keeps every answer small, and
a simulated large tier keeps the second engine off the cores.
"""

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer
from rich.progress import track

from bench.overhead import report
from bench.overhead.load import Load, run
from bench.overhead.servers import Server, application, bare_vllm

COMMAND = "python -m bench.overhead.bare"
ARGS = {
    "classifier": {"threshold": 1.0},
    "small": {"model": "measured", "engine": {"kind": "vllm", "path": "builtin:small"}},
    "large": {"model": "unused", "engine": {"kind": "simulated"}},
}
LOADS = [Load(1, 20, 32), Load(8, 48, 32), Load(32, 128, 32)]
WARM_UP = Load(8, 16, 16)
SERVERS: dict[str, tuple[str, Callable[[int], AbstractContextManager[Server]]]] = {
    "bare vLLM": ("bare", bare_vllm),
    "smallfirst": ("auto", lambda port: application(ARGS, port)),
    "smallfirst, HAProxy": ("auto", lambda port: application(ARGS, port, haproxy=True)),
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
            answered = run(server.url, model, load, PROMPTS)
            ttft_ms = sorted(sample.ttft_s * 1e3 for sample in answered.samples)
            rows.append(
                {
                    "server": name,
                    "clients": load.clients,
                    "ttft_ms": ttft_ms,
                    "tokens": answered.tokens,
                    "tokens_per_s": answered.tokens / answered.wall_s,
                }
            )
    return rows


def shown(rows: list[dict[str, Any]]) -> str:
    """The table: all rounds' requests together for TTFT, the median round for throughput."""
    lines = []
    for load in LOADS:
        base: float | None = None
        for name in SERVERS:
            mine = [r for r in rows if r["server"] == name and r["clients"] == load.clients]
            if not mine:
                continue
            ttft_ms = sorted(time for row in mine for time in row["ttft_ms"])
            throughput = statistics.median(row["tokens_per_s"] for row in mine)
            base = base or throughput
            p50, p99 = statistics.median(ttft_ms), ttft_ms[int(0.99 * (len(ttft_ms) - 1))]
            shares = f"{throughput / base:.2f}"
            lines.append(
                [load.clients, name, f"{p50:.0f}", f"{p99:.0f}", f"{throughput:.0f}", shares]
            )
    head = ["clients", "server", "TTFT p50 ms", "TTFT p99 ms", "tokens/s", "of bare"]
    return report.table(head, lines)


def main(
    rounds: Annotated[int, typer.Option(help="Rounds; each starts every server once.")] = 2,
    only: Annotated[str | None, typer.Option(help="Start just this one of them.")] = None,
    append: Annotated[bool, typer.Option(help="Add to the rounds of results/bare.json.")] = False,
    port: int = 8321,
) -> None:
    """Measure, print the table, write results/bare.*."""
    rows: list[dict[str, Any]] = report.earlier("bare") if append else []
    plan = [name for _ in range(rounds) for name in SERVERS if only in (None, name)]
    for name in track(plan, description="servers"):
        rows += measured(name, port)
        text = shown(rows)
        report.write("bare", COMMAND, rows, text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
