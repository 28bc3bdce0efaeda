"""The simulator against a live Ray cluster: the same 20 minutes of requests, both ways.

    python -m bench.autoscale.live  # 20 minutes of wall clock, little CPU

Replicas are real Ray Serve actors that hold a slot for each request's work; the policy is the one
of `serve_config.yaml`. Compared: replica-hours and waits. The start-up, and how long a slot stands
empty while requests wait, are measured in the live run and given to the simulator. Appends to
bench/autoscale/results/live.json.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from autoscale.journal_entries import read_journal
from autoscale.simulation.rivals import Smallfirst, parameters_for
from autoscale.simulation.simulate import Run, simulate
from autoscale.simulation.workload import Floats, Workload
from bench.autoscale.live_cluster import (
    LIMITS,
    PROFILE,
    STARTUP_S,
    cluster,
    deploy,
    policy_kwargs,
    warm,
)

RESULTS = Path(__file__).parent / "results"
SEED = 5
# (seconds, requests a second): two surges beyond the 10.7 rps that 8 replicas can do
PHASES = ((240, 4.0), (240, 13.0), (300, 4.0), (180, 14.0), (240, 3.0))


def workload() -> Workload:
    """Poisson arrivals in phases, lognormal work of mean 3 s and CV 0.5."""
    rng = np.random.default_rng(SEED)
    parts, begin = [], 0.0
    for length_s, rate in PHASES:
        parts.append(begin + np.sort(rng.uniform(0, length_s, rng.poisson(rate * length_s))))
        begin += length_s
    arrival = np.concatenate(parts)
    sigma = float(np.sqrt(np.log1p(0.25)))
    work = PROFILE.service_s * rng.lognormal(-0.5 * sigma * sigma, sigma, len(arrival))
    return Workload(arrival, work, np.zeros(len(arrival)), begin, name="live-phases")


async def drive(handle: Any, load: Workload) -> tuple[Floats, float]:
    """Send every request at its time; waits, and the mean hand-over of a slot, in seconds.

    A hand-over counts where the request was there before the slot became free.
    """
    begin = time.time()

    async def one(at: float, work: float) -> tuple[float, float]:
        await asyncio.sleep(max(0.0, begin + at - time.time()))
        begun, freed = await handle.remote(work)
        return begun - (begin + at), begun - freed

    pairs = zip(load.arrival_s, load.work_s, strict=True)
    waits, empty = np.array(await asyncio.gather(*(one(float(a), float(w)) for a, w in pairs))).T
    return waits, float(empty[empty < waits].mean())


Sample = tuple[float, int, int]
"""Unix time, replicas that run, all replicas that Serve counts."""


async def watch(samples: list[Sample], name: str) -> None:
    """Append a sample once a second."""
    from ray import serve

    while True:
        status = await asyncio.to_thread(serve.status)
        states = status.applications[name].deployments["Slots"].replica_states
        counts = {str(state).rsplit(".", 1)[-1]: n for state, n in states.items()}
        samples.append((time.time(), counts.get("RUNNING", 0), sum(counts.values())))
        await asyncio.sleep(1.0)


def first_minutes(load: Workload, minutes: float) -> Workload:
    """The workload's beginning."""
    kept = load.arrival_s < minutes * 60.0
    return replace(
        load,
        arrival_s=load.arrival_s[kept],
        work_s=load.work_s[kept],
        kv_tokens=load.kv_tokens[kept],
        end_s=min(load.end_s, minutes * 60.0),
    )


async def _drive_and_watch(load: Workload, handle: Any) -> tuple[Floats, float, list[Sample]]:
    samples: list[Sample] = []
    watcher = asyncio.create_task(watch(samples, "live"))
    waits, handover_s = await drive(handle, load)
    watcher.cancel()
    return waits, handover_s, samples


def run_live(load: Workload, journal: Path) -> tuple[Floats, float, list[Sample]]:
    """Waits, the hand-over of a slot, and replicas once a second."""
    with cluster():
        kwargs = policy_kwargs(str(journal))
        handle = deploy("live", STARTUP_S, "autoscale.policy:QueueDepthPolicy", kwargs)
        asyncio.run(warm(handle))
        return asyncio.run(_drive_and_watch(load, handle))


def run_simulated(load: Workload, startup_s: float, handover_s: float) -> Run:
    """The same requests under the same policy, with what was measured live."""
    profile = replace(PROFILE, startup_s=startup_s, startup_cv=0.05, handover_s=handover_s)
    settings = {k: v for k, v in policy_kwargs("").items() if k != "journal_path"}
    policy = Smallfirst(parameters_for(profile, **settings))
    return simulate(("smallfirst", policy), load, profile, LIMITS, SEED)


def figures(waits: Floats, replica_hours: float) -> dict[str, float]:
    """What is compared."""
    p50, p90, p99 = (float(q) for q in np.quantile(waits, (0.5, 0.9, 0.99)))
    return {
        "replica_hours": replica_hours,
        "wait_p50_s": p50,
        "wait_p90_s": p90,
        "wait_p99_s": p99,
        "attainment_2s": float((waits <= 2.0).mean()),
    }


def compare(load: Workload) -> dict[str, Any]:
    """Both runs and their differences."""
    journal = Path(tempfile.mkdtemp(prefix="asj", dir="/tmp")) / "live.jsonl"
    waits, handover_s, samples = run_live(load, journal)
    begin = samples[0][0]
    held = [replicas for time_s, _, replicas in samples if time_s < begin + load.end_s]
    live = figures(waits, float(np.mean(held)) * load.end_s / 3600.0)
    entries = list(read_journal(journal))
    startup_s = float(entries[-1].terms["startup_s"])
    run = run_simulated(load, startup_s, handover_s)
    simulated = figures(run.waits_s, run.replica_hours)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "minutes": load.end_s / 60.0,
        "requests": len(waits),
        "startup_s_measured": startup_s,
        "handover_s_measured": handover_s,
        "decisions_replayed": len(entries),
        "decisions_identical": sum(entry.replays() for entry in entries),
        "live": live,
        "simulated": simulated,
        "relative_error": {
            key: (simulated[key] - live[key]) / live[key] if live[key] else None for key in live
        },
        "live_replicas": [[round(s[0] - begin), s[1], s[2]] for s in samples[::10]],
        "simulated_targets": run.targets[::20].tolist(),
    }


def main(
    minutes: Annotated[float, typer.Option(help="Part of the 20 minutes to run.")] = 20.0,
) -> None:
    """Run live, then simulate, then compare."""
    result = compare(first_minutes(workload(), minutes))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "live.json"
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.write_text(json.dumps([*runs, result], indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, list)}, indent=1))


if __name__ == "__main__":
    typer.run(main)
