"""A few operating points of the main policies over days and seeds, with intervals.

    python -m bench.autoscale.points --trace azure-code-spikes --runs 6    # again until it is done

Cheaper than `frontier`: nothing is tuned or swept. Ours runs with its default hold and three late
fractions, Ray tuned with the knobs that `frontier` found on the first day of the trace. A call does
at most `--runs` runs, keeps them on disk, and writes points-<trace>.json when none is missing.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Annotated, Any

import typer

from autoscale.simulation.arrivals import DAY_S, Cut
from autoscale.simulation.compare import Job, Knobs, summarise_all
from autoscale.simulation.simulate import Limits
from autoscale.simulation.workload import Profile
from bench.autoscale.equal_attainment import at_their_attainment
from bench.autoscale.frontier import execute
from bench.autoscale.frontier_report import fixed_table, points_table, screen
from bench.autoscale.traffic import DATA, HARDWARE, RESULTS, SEEDS, TICK_S, TRACES, load


def settings(ray_tuned: Knobs) -> list[tuple[str, Knobs]]:
    """The operating points: ours loose, default and strict, and what users would pick."""
    return [
        *(("smallfirst", {"late_fraction": late}) for late in (0.3, 0.03, 0.01, 1e-3)),
        ("ray-default", {"utilization": 0.7}),
        ("ray-tuned", ray_tuned),
        ("kpa", {"utilization": 0.7}),
        ("kpa", {"utilization": 0.8}),
        *(("clairvoyant", {"quantile": quantile}) for quantile in (0.5, 0.8)),
    ]


def main(
    trace: Annotated[str, typer.Option(help=f"one of {', '.join(TRACES)}")],
    runs: Annotated[int, typer.Option(min=1, help="At most so many runs in this call.")] = 1000,
) -> None:
    """Run what is missing; report when nothing is."""
    if trace not in TRACES or not DATA.is_dir():
        sys.exit(f"need {DATA} and one of {', '.join(TRACES)}")
    source, scale, days, spikes = load(trace)
    known = json.loads((RESULTS / f"frontier-{trace}.json").read_text(encoding="utf-8"))
    base = Job(
        "", Cut(0.0, min(DAY_S, days[1] * DAY_S), scale), Profile(), Limits(tick_s=TICK_S), 0
    )
    jobs = [
        replace(
            base,
            policy=policy,
            knobs=knobs,
            seed=seed,
            spikes=spikes,
            cut=replace(base.cut, start_s=day * DAY_S),
        )
        for day, seed in worlds(days[1:])
        for policy, knobs in settings(known["ray_tuned"])
    ]
    done = RESULTS / f"partial-{trace}-points.jsonl"
    before = len(done.read_text(encoding="utf-8").splitlines()) if done.exists() else 0
    judged = execute(source, jobs[: before + runs], f"{trace}-points")
    if len(judged) < len(jobs):
        screen.print(f"{len(judged)} of {len(jobs)} runs done")
        return
    result: dict[str, Any] = {
        "trace": trace,
        "worlds": worlds(days[1:]),
        "hardware": HARDWARE,
        "date": time.strftime("%Y-%m-%d"),
        "at_their_attainment": at_their_attainment(judged),
        "summaries": [summary.as_json() for summary in summarise_all(judged)],
    }
    path = RESULTS / f"points-{trace}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    done.unlink()
    screen.print(points_table(result))
    screen.print(fixed_table(result))


def worlds(days: tuple[float, ...]) -> list[tuple[float, int]]:
    """Days and seeds: each day with one seed of its own, or one short trace with every seed."""
    if len(days) == 1:
        return [(days[0], seed) for seed in SEEDS]
    return list(zip(days, SEEDS, strict=False))


if __name__ == "__main__":
    typer.run(main)
