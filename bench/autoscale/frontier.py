"""GPU-hours at equal attainment, every policy, on every day of a week.

    python -m bench.autoscale.frontier --trace azure-code          # one trace, 10 to 40 minutes
    python -m bench.autoscale.frontier_report                      # tables and plots of all results

Ours runs as shipped, with its one knob `late_fraction` swept. Ray tuned has the delays, look-back
and target that were best of 24 on the first day of the trace, which is then judged too; of every
rival one knob is swept. GPU-hours at exactly a goal are read off the lower frontier of each day by
interpolation; intervals are over days. Results go to bench/autoscale/results/frontier-<trace>.json.
A bench that was stopped goes on where it was, unless the code has changed meanwhile.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

import autoscale
from autoscale.simulation.arrivals import DAY_S, Cut
from autoscale.simulation.compare import Job, Knobs, summarise_all
from autoscale.simulation.parallel import run_all
from autoscale.simulation.search import cheapest
from autoscale.simulation.simulate import Limits, Run
from autoscale.simulation.traces import Trace
from autoscale.simulation.workload import Profile
from bench.autoscale.equal_attainment import at_targets, at_their_attainment
from bench.autoscale.frontier_report import print_one, screen
from bench.autoscale.traffic import (
    DATA,
    HARDWARE,
    RESULTS,
    TARGETS,
    TICK_S,
    TRACES,
    Source,
    load,
    ray_grid,
    sweeps,
)


def execute(trace: Trace, jobs: list[Job], what: str) -> list[tuple[Job, Run]]:
    """Run jobs with a progress bar. Finished runs are kept on disk: a stopped bench goes on."""
    cache = RESULTS / f"partial-{what}.jsonl"
    made_by = _code()
    lines = cache.read_text(encoding="utf-8").splitlines() if cache.exists() else []
    found = [line for line in map(json.loads, lines) if line.get("code") == made_by]
    known = {line["job"]: line["run"] for line in found}
    missing = [job for job in jobs if _name(job) not in known]
    with cache.open("a", encoding="utf-8") as file:
        for job, run in track(run_all(trace, missing), description=what, total=len(missing)):
            known[_name(job)] = {
                key: value for key, value in asdict(run).items() if key not in _ARRAYS
            }
            line = {"code": made_by, "job": _name(job), "run": known[_name(job)]}
            file.write(json.dumps(line) + "\n")
            file.flush()
    empty: dict[str, Any] = {"targets": np.empty(0, dtype=np.int64), "waits_s": np.empty(0)}
    return [(job, Run(**known[_name(job)], **empty)) for job in jobs]


_ARRAYS = ("targets", "waits_s")


def _name(job: Job) -> str:
    return json.dumps(asdict(job))


def _code() -> str:
    """What the runs were made by: a bench that goes on after a change must not mix both."""
    files = sorted(Path(autoscale.__file__).parent.rglob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def main(
    trace: Annotated[list[str], typer.Option(help=f"of {', '.join(TRACES)}; may be repeated")],
) -> None:
    """Measure traces, one after the other; a run that was stopped goes on where it was."""
    if unknown := sorted(set(trace) - set(TRACES)):
        sys.exit(f"unknown trace {unknown[0]!r}; known are {', '.join(TRACES)}")
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: the traces are not part of the repository")
    RESULTS.mkdir(exist_ok=True)
    for name in trace:
        result = _measure(name)
        path = RESULTS / f"frontier-{name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        for part in ("tuning", "judged"):
            (RESULTS / f"partial-{name}-{part}.jsonl").unlink()
        screen.print(f"wrote {path}")
        print_one(result)


def _measure(name: str) -> dict[str, Any]:
    source = TRACES[name]
    trace, scale = load(name)
    began = time.monotonic()
    base = Job(
        "",
        Cut(0.0, source.length_s, scale),
        Profile(),
        Limits(tick_s=TICK_S),
        source.seeds[0],
        {},
        source.spikes_s,
    )
    ray_tuned = tune_ray(trace, name, base)
    judged = execute(trace, judged_jobs(base, source, ray_tuned), f"{name}-judged")
    return {
        "trace": name,
        "days_tuned": [0.0],
        "days": list(source.days),
        "seeds": source.seeds,
        "scale": scale,
        "spikes_s": source.spikes_s,
        "profile": asdict(base.profile) | {"kv_tokens": "unlimited"},
        "hardware": HARDWARE,
        "date": time.strftime("%Y-%m-%d"),
        "wall_s": round(time.monotonic() - began),
        "ray_tuned": ray_tuned,
        "at_target": at_targets(judged, TARGETS),
        "at_their_attainment": at_their_attainment(judged),
        "summaries": [summary.as_json() for summary in summarise_all(judged)],
    }


def tune_ray(trace: Trace, name: str, base: Job) -> Knobs:
    """The knobs with which Ray meets the goal on the first day for the fewest GPU-hours."""
    jobs = [replace(base, policy="ray-tuned", knobs=knobs) for knobs in ray_grid()]
    return cheapest(execute(trace, jobs, f"{name}-tuning"), TARGETS[0])[0].knobs


def judged_jobs(base: Job, source: Source, ray_tuned: Knobs) -> list[Job]:
    """Every setting on every day with every seed; jobs of one day and seed are adjacent."""
    return [
        replace(
            base,
            policy=policy,
            knobs=knobs,
            seed=seed,
            cut=replace(base.cut, start_s=day * DAY_S),
        )
        for day in source.days
        for seed in source.seeds
        for policy, knobs in sweeps(ray_tuned)
    ]


if __name__ == "__main__":
    typer.run(main)
