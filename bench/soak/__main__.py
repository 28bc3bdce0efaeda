"""Run an endpoint for an hour under every kind of client; write docs/soak.md.

    python -m bench.soak [--minutes 60] [--per-s 20]

Memory, descriptors, threads and tasks of every process are looked at every ten seconds; after the
warm-up each is given a slope an hour with its 95% interval. Every request that got a status must
have exactly one line in the ledger, and one that its client left before at most one.
"""

import asyncio
import json
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.progress import Progress

from bench.faults.drill import ARGS
from bench.faults.endpoint import Endpoint, running_endpoint
from bench.soak.clients import Seen, load
from bench.soak.growth import slope_per_hour
from bench.soak.processes import Series, Watch
from bench.soak.report import write_report

RESULTS = Path(__file__).parent / "results" / "soak.json"
LOOK_EVERY_S = 10.0
# Caches fill, allocators find their size: what grows in this part of the run is not judged.
WARM_UP = 0.25


async def watched(endpoint: Endpoint, per_s: float, seconds: float, seen: Seen) -> Watch:
    """Look at the processes while the clients are there."""
    watch, began_s = Watch(endpoint), time.monotonic()
    clients = asyncio.create_task(load(endpoint.url, per_s, seconds, seen))
    with Progress() as progress:
        task = progress.add_task("soaking", total=seconds)
        while not clients.done():
            await asyncio.wait([clients], timeout=LOOK_EVERY_S)
            await asyncio.to_thread(watch.look)
            progress.update(task, completed=time.monotonic() - began_s)
    await clients
    return watch


def growth(series: Series, warm_up_s: float) -> dict[str, float] | None:
    """First and last value and slope of one quantity after the warm-up; None: too short-lived."""
    kept = [(t, v) for t, v in zip(series.times_s, series.values, strict=True) if t > warm_up_s]
    if len(kept) < 20:
        return None
    times_s, values = zip(*kept, strict=True)
    slope, low, high = slope_per_hour(times_s, values)
    return {
        "first": values[0],
        "last": values[-1],
        "most": max(values),
        "slope_per_hour": slope,
        "low": low,
        "high": high,
    }


def ledger_of(endpoint: Endpoint, seen: Seen) -> dict[str, int]:
    """How the ledger's lines agree with what the clients saw."""
    lines = Counter(record["request_id"] for record in endpoint.records())
    return {
        "lines": lines.total(),
        "answered": len(seen.answered),
        "answered without a line": len(seen.answered - set(lines)),
        "with two lines": sum(count > 1 for count in lines.values()),
        "lines that nobody asked for": len(set(lines) - seen.answered - seen.left),
    }


def main(
    minutes: Annotated[float, typer.Option(help="How long.", min=0.5)] = 60.0,
    per_s: Annotated[float, typer.Option(help="Requests a second.")] = 20.0,
    results: Annotated[Path, typer.Option(help="Where the figures go.")] = RESULTS,
) -> None:
    """Soak a fresh endpoint; write the figures and the page."""
    seconds, seen = minutes * 60, Seen()
    with running_endpoint(ARGS) as endpoint:
        watch = asyncio.run(watched(endpoint, per_s, seconds, seen))
        time.sleep(LOOK_EVERY_S)  # the last lines are on their way to the disk
        ledger = ledger_of(endpoint, seen)
    rows = [
        {"process": process, "what": what, **grown}
        for (process, what), series in sorted(watch.series.items())
        if (grown := growth(series, WARM_UP * seconds)) is not None
    ]
    about: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "minutes": minutes,
        "per_s": per_s,
        "outcomes": dict(sorted(seen.outcomes.items())),
        "wrong": dict(seen.wrong),
        "ledger": ledger,
        "rows": rows,
    }
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(about, indent=1) + "\n")
    if results == RESULTS:
        write_report(about)
    print(json.dumps({"wrong": about["wrong"], "ledger": ledger}))


if __name__ == "__main__":
    typer.run(main)
