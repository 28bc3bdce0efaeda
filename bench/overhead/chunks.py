"""CPU per streamed token through the gateway, on the simulated engine.

    python -m bench.overhead.chunks

Counted is the user and system time of proxy, gateway and tier processes, from before the first
request of a load until after its last, per token that reached the client. The rounds of the modes
alternate; the table shows medians. Beside them: the same engine behind nothing but uvicorn.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer
from rich.progress import track

from bench.overhead import report
from bench.overhead.load import Load, run
from bench.overhead.servers import Server, application, simulated_alone

COMMAND = "python -m bench.overhead.chunks"
# A token every 10 ms, as the simulated engine's defaults; room for all clients at once.
ENGINE = {"inter_token_delay_s": 0.01, "max_num_seqs": 64, "kv_cache_tokens": 262144}
TIER = {"engine": {"kind": "simulated", **ENGINE}, "max_ongoing_requests": 64}
ARGS = {
    # Everything small: what is measured is one way through, not the routing.
    "classifier": {"threshold": 1.0},
    "small": {"model": "simulated", **TIER},
    "large": {"model": "simulated-large", **TIER},
}
LOADS = [
    Load(clients=1, requests=10, max_tokens=100),
    Load(clients=12, requests=96, max_tokens=100),
]
WARM_UP = Load(clients=12, requests=24, max_tokens=50)
COUNTED = ("proxy", "gateway", "small tier")
PROMPTS = ["Say hello.", "What is INT4?", "Name three rivers.", "Is water wet?"]
MODES: dict[str, tuple[str, Callable[[int], AbstractContextManager[Server]]]] = {
    "default proxy": ("small", lambda port: application(ARGS, port)),
    "HAProxy": ("small", lambda port: application(ARGS, port, haproxy=True)),
    "engine alone (uvicorn)": ("simulated", lambda port: simulated_alone(ENGINE, port)),
}


def measured(mode: str, port: int) -> Iterator[dict[str, Any]]:
    """One row for each load."""
    model, start = MODES[mode]
    with start(port) as server:
        run(server.url, model, WARM_UP, PROMPTS)
        for load in LOADS:
            before = server.cpu_s()
            answered = run(server.url, model, load, PROMPTS)
            after = server.cpu_s()
            spent = {name: after[name] - before.get(name, 0.0) for name in after}
            counted = COUNTED if model == "small" else tuple(spent)
            reads = sum(sample.reads for sample in answered.samples)
            yield {
                "mode": mode,
                "clients": load.clients,
                "tokens": answered.tokens,
                "tokens_per_read": answered.tokens / reads,
                "us_per_token": {
                    name: spent.get(name, 0.0) / answered.tokens * 1e6 for name in spent
                },
                "us_per_token_total": sum(spent.get(name, 0.0) for name in counted)
                / answered.tokens
                * 1e6,
                "ttft_p50_ms": statistics.median(s.ttft_s for s in answered.samples) * 1e3,
                "tokens_per_s": answered.tokens / answered.wall_s,
            }


def shown(rows: list[dict[str, Any]]) -> str:
    """The table of medians."""
    lines = []
    for mode in MODES:
        for load in LOADS:
            mine = [r for r in rows if r["mode"] == mode and r["clients"] == load.clients]
            if not mine:
                continue

            def middle(key: str, part: str | None = None, rows: list[Any] = mine) -> float:
                values = [row[key] if part is None else row[key].get(part, 0.0) for row in rows]
                return float(statistics.median(values))

            lines.append(
                [
                    mode,
                    load.clients,
                    f"{middle('us_per_token_total'):.0f}",
                    *(f"{middle('us_per_token', name):.0f}" for name in COUNTED),
                    f"{middle('tokens_per_read'):.1f}",
                    f"{middle('ttft_p50_ms'):.0f}",
                ]
            )
    head = ["mode", "clients", "CPU µs per token", *COUNTED, "tokens per read", "TTFT p50 ms"]
    return report.table(head, lines)


def main(
    rounds: Annotated[int, typer.Option(help="Rounds; each starts every mode once.")] = 3,
    only: Annotated[str | None, typer.Option(help="Start just this one of them.")] = None,
    append: Annotated[bool, typer.Option(help="Add to the rounds of results/chunks.json.")] = False,
    port: int = 8311,
) -> None:
    """Measure, print the table, write results/chunks.*."""
    rows: list[dict[str, Any]] = report.earlier("chunks") if append else []
    plan = [mode for _ in range(rounds) for mode in MODES if only in (None, mode)]
    for mode in track(plan, description="modes"):
        rows += measured(mode, port)
        text = shown(rows)
        report.write("chunks", COMMAND, rows, text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
