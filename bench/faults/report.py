"""Makes docs/faults.md from the results in this folder: `python -m bench.faults.report`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEADER = """\
# What clients get while something breaks

Made by `python -m bench.faults.report` from `bench/faults/results`; each part names the command
that measures it.
"""
UPSTREAMS = """
## Upstreams
`large.targets` lists two upstreams; the first breaks in one way, the second works. Where nothing
had been sent, every request is answered by the second; where something had, the stream ends in
one error event with the usage so far, and no `[DONE]`. A JSON answer that breaks half-way had
sent nothing. A busy or dead target is left alone and costs nothing meanwhile
([0067](decisions/0067-targets-in-order.md)). The table is
[bench/faults/results/upstreams.md](../bench/faults/results/upstreams.md), made by `python -m
bench.faults.upstreams`; with `--rival` the same faults go through LiteLLM's proxy in the same
run: it answers whole answers as ours does, and ends the streams of five of the seventeen faults
before the first byte, and of the cut one, with `[DONE]` as if they were complete (2026-11-26,
1.108.7).
"""


def changes(results: dict[str, Any]) -> str:
    """The part of `bench.faults.changes`."""
    dates = " and ".join(sorted({row["date"] for row in results["rows"]}))
    return f"""
## Under constant load
`python -m bench.faults.changes`, {dates}, {results["machine"]}, no GPU.
{results["per_s"]:g} requests a second, half of them streams, two gateways, two small replicas and a
large one; simulated engines that refuse wrong names as vLLM does. "Restarted" are the deployments
with a new process.

{_table(results)}
"""


def real_engines(results: dict[str, Any]) -> str:
    """The part of `bench.faults.real_engines`."""
    return f"""
## On real vLLM
`python -m bench.faults.real_engines`, {results["date"]}, {results["machine"]}, no GPU.
{results["per_s"]:g} requests a second of `auto` for {results["max_tokens"]} tokens each, half of
them streams, one replica of the default model on vLLM, a simulated large tier.

{_table(results)}
"""


def nodes(results: dict[str, Any]) -> str:
    """The part of `bench.faults.nodes`."""
    return f"""
## A node goes
`python -m bench.faults.nodes`, {results["date"]}, {results["machine"]}, no GPU. The same load; a
second Ray node holds two of four small replicas. It is drained as after a spot notice, or all its
processes are killed at once: what its replicas were sending then is cut.

{_table(results)}
"""


def head_kill(results: dict[str, Any]) -> str:
    """The part of `bench.pods.head_kill`."""
    return f"""
## The head goes
`python -m bench.pods.head_kill`, {results["date"]}, {results["machine"]}, no GPU. The pods of
`dev-cpu` with `gcs-ft-redis`, as processes in network namespaces: a head, a worker with all
replicas, Redis. {results["per_s"]:g} requests a second, half of them streams, through the
service's address. The head is killed, and 5 s later another starts under another address. It took
until Serve's controller was back and every deployment healthy; meanwhile nothing scales, and no
replica that dies is replaced.

{_table(results)}
"""


def _table(results: dict[str, Any]) -> str:
    rows = [
        "| change | took | answered | lost before the first byte | cut after it | restarted |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        lost, cut = (_with_why(row, what) for what in ("lost", "cut"))
        restarted = ", ".join(row["restarted"]) or "none"
        rows.append(
            f"| {row['change']} | {row['seconds']:.0f} s | {row['ok']} | {lost} | {cut} | "
            f"{restarted} |"
        )
    return "\n".join(rows)


def _with_why(row: dict[str, Any], what: str) -> str:
    if not row[what]:
        return "0"
    side = "after" if what == "cut" else "before"
    why = [f"{n} {name}" for name, n in row["why"].items() if side in name or "HTTP" in name]
    return f"{row[what]} ({'; '.join(why)})"


def hostile(results: dict[str, Any]) -> str:
    """The part of `bench.faults.hostile`."""
    rows: list[dict[str, Any]] = results["rows"]
    idle = next(row for row in rows if row["body"] == "idle")
    worst = sorted(rows, key=lambda row: -row["stop_ms"][len(row["stop_ms"]) // 2])[:12]
    table = "\n".join(
        f"| {row['body']} | {row['status']} | {row['stop_ms'][len(row['stop_ms']) // 2]} | "
        f"{row['stop_ms'][-1]} |"
        for row in worst
        if row is not idle
    )
    return f"""
## Hostile bodies
`python -m bench.faults.hostile`, {results["date"]}, {results["machine"]}, no GPU: the longest
stop of a gateway's event loop while a body arrives and is answered, over {len(rows)} bodies of up
to 64 MiB unpacked; the twelve worst. Counted is the processor time of the whole process between two
turns of the loop, its parsing threads included: a stop is at most that. Wanted: 50 ms. An idle
loop's longest stop was {idle["stop_ms"][-1]} ms; memory was {rows[0]["rss_mib"]} MiB before and
{rows[-1]["rss_mib"]} MiB after all of them.

| body | status | median stop, ms | longest, ms |
|---|---|---|---|
{table}
"""


# A result and what makes its part of the page, in the page's order.
PARTS: dict[str, Callable[[Any], str]] = {
    "changes": changes,
    "real_engines": real_engines,
    "nodes": nodes,
    "head_kill": head_kill,
    "hostile": hostile,
}


def write_report() -> None:
    """Write the page from the results that are there."""
    page = HEADER
    for name, part in PARTS.items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            page += part(json.loads(file.read_text()))
    page += UPSTREAMS
    PAGE.write_text(page)


if __name__ == "__main__":
    write_report()
