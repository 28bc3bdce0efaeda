"""What stands in front of an engine at the rates of a GPU: tokens, gaps, CPU, streams at once.

    python -m bench.overhead.relay

The simulated engine gives a token every 25 ms to each of 32 to 512 streams, which all start at
once, 200 tokens each. In front of it: nothing, vllm-router, LiteLLM's proxy, and ours behind Ray's
proxy and behind HAProxy. The other two come from PyPI, each into an environment of its own.
"""

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer
from rich.progress import track

from bench.overhead import report
from bench.overhead.burst import Burst, burst
from bench.overhead.rivals import litellm, vllm_router
from bench.overhead.servers import Server, application, simulated_alone

COMMAND = "python -m bench.overhead.relay"
STREAMS = (32, 128, 256, 512)
TOKENS = 200
ENGINE = {
    "first_token_delay_s": 0.025,
    "inter_token_delay_s": 0.025,
    "inter_token_delay_growth": 0.0,
    "prompt_tokens_per_s": 1e6,
    "max_num_seqs": 1024,
    "kv_cache_tokens": 2**22,
}
TIER = {
    "engine": {"kind": "simulated", **ENGINE},
    "max_ongoing_requests": 1024,
    "max_queued_requests": 1024,
}
ARGS = {
    # One gateway, one replica: what is measured is one way through, not the routing.
    "gateway": {"max_ongoing_requests": 1024, "scaling": {"max_replicas": 1}},
    "classifier": {"threshold": 1.0},
    "small": {"model": "simulated", **TIER},
    "large": {"model": "simulated-large", **TIER},
}


def engine(port: int) -> AbstractContextManager[Server]:
    """The engine behind its own server."""
    return simulated_alone(ENGINE, port)


MODES: dict[str, Callable[[int], AbstractContextManager[Server]]] = {
    "nothing": lambda port: engine(port),
    "vllm-router 0.1.17": lambda port: vllm_router(engine, port),
    "LiteLLM 1.108.7": lambda port: litellm(engine, "simulated", port),
    "ours": lambda port: application(ARGS, port),
    "ours, HAProxy": lambda port: application(ARGS, port, haproxy=True),
}
# What a cluster costs by the second, whatever is asked of it.
IDLE_ROLES = frozenset({"Ray", "Serve controller", "classifier", "large tier"})


def measured(mode: str, streams: tuple[int, ...], port: int) -> Iterator[dict[str, Any]]:
    """One row for each number of streams."""
    with MODES[mode](port) as server:
        burst(server.url, "simulated", streams=8, tokens=20)
        for count in streams:
            before = server.cpu_s()
            seen = burst(server.url, "simulated", streams=count, tokens=TOKENS)
            after = server.cpu_s()
            spent = {role: after[role] - before.get(role, 0.0) for role in after}
            yield {"mode": mode, "streams": count, **figures(seen, spent)}


def figures(seen: Burst, spent_s: dict[str, float]) -> dict[str, Any]:
    """What a burst shows: rates, times in milliseconds, CPU microseconds a token by role."""
    gaps_ms = sorted(gap * 1e3 for gap in seen.gaps_s)
    return {
        "tokens_per_s": seen.tokens / seen.wall_s,
        "ttft_p50_ms": statistics.median(seen.ttft_s) * 1e3,
        "gap_ms": {
            "p50": quantile(gaps_ms, 0.5),
            "p95": quantile(gaps_ms, 0.95),
            "p99": quantile(gaps_ms, 0.99),
            "longest": gaps_ms[-1],
        },
        "us_per_token": {role: s / seen.tokens * 1e6 for role, s in spent_s.items() if s > 0},
    }


def quantile(ordered: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def carried_by_a_core(row: dict[str, Any]) -> float:
    """Streams at the engine's rate that one gateway process would carry, by its CPU a token."""
    us = row["us_per_token"].get("gateway", 0.0)
    return 1e6 / us * ENGINE["inter_token_delay_s"] if us else 0.0


def shown(rows: list[dict[str, Any]]) -> str:
    """The table: medians over the rounds."""
    lines = []
    for mode in MODES:
        for count in STREAMS:
            mine = [r for r in rows if (r["mode"], r["streams"]) == (mode, count)]
            if mine:
                lines.append([mode, count, *_medians(mine)])
    head = ["in front of the engine", "streams", "tok/s", "TTFT p50 ms"]
    head += [f"gap {name} ms" for name in ("p50", "p95", "p99", "longest")]
    return report.table([*head, "CPU µs a token", "by role", "streams a gateway core"], lines)


def _medians(rows: list[dict[str, Any]]) -> list[str]:
    def middle(read: Callable[[dict[str, Any]], float]) -> float:
        return float(statistics.median(map(read, rows)))

    roles = sorted({role for row in rows for role in row["us_per_token"]})
    spent = {role: middle(lambda r, role=role: r["us_per_token"].get(role, 0.0)) for role in roles}  # type: ignore[misc]  # a default binds it
    carried = middle(carried_by_a_core)
    return [
        f"{middle(lambda r: r['tokens_per_s']):.0f}",
        f"{middle(lambda r: r['ttft_p50_ms']):.0f}",
        *(
            f"{middle(lambda r, name=name: r['gap_ms'][name]):.0f}"  # type: ignore[misc]  # the same
            for name in ("p50", "p95", "p99", "longest")
        ),
        f"{sum(us for role, us in spent.items() if role not in IDLE_ROLES):.0f}",
        ", ".join(f"{role} {us:.0f}" for role, us in spent.items() if us >= 1),
        f"{carried:.0f}" if carried else "-",
    ]


def main(
    rounds: Annotated[int, typer.Option(help="Rounds; each starts every mode once.")] = 3,
    only: Annotated[str | None, typer.Option(help="Modes, comma-separated.")] = None,
    streams: Annotated[str, typer.Option(help="Streams at once.")] = "32,128,256,512",
    append: Annotated[bool, typer.Option(help="Add to the rounds of results/relay.json.")] = False,
    port: int = 8331,
) -> None:
    """Measure, print the table, write results/relay.*."""
    wanted = [mode for mode in MODES if only is None or mode in only.split(",")]
    counts = tuple(int(count) for count in streams.split(","))
    rows: list[dict[str, Any]] = report.earlier("relay") if append else []
    plan = [mode for _ in range(rounds) for mode in wanted]
    for mode in track(plan, description="modes"):
        rows += measured(mode, counts, port)
        report.write("relay", COMMAND, rows, shown(rows))
    print(shown(rows))


if __name__ == "__main__":
    typer.run(main)
