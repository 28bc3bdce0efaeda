"""What warm spares buy on a trace, on the days and seeds of `bench.autoscale.frontier`.

    python -m bench.autoscale.spares --trace azure-code-spikes

The late fraction cannot buy more than replicas that start allow; spares can. Writes
bench/autoscale/results/spares-<trace>.json.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from typing import Annotated

import typer

from autoscale.simulation.arrivals import DAY_S, Cut
from autoscale.simulation.compare import Job, summarise_all
from autoscale.simulation.simulate import Limits
from autoscale.simulation.workload import Profile
from bench.autoscale.frontier import execute
from bench.autoscale.traffic import HARDWARE, RESULTS, TICK_S, TRACES, load

SPARE_GPUS = (1, 2, 3, 4)
LATE_FRACTION = 0.03


def main(trace: Annotated[str, typer.Option(help=f"one of {', '.join(TRACES)}")]) -> None:
    """Measure, write, print."""
    judged, (source, scale) = TRACES[trace], load(trace)
    profile, cut = Profile(), Cut(0.0, judged.length_s, scale)
    base = Job("smallfirst", cut, profile, Limits(tick_s=TICK_S), 0, {}, judged.spikes_s)
    jobs = [
        replace(
            base,
            seed=seed,
            cut=replace(cut, start_s=day * DAY_S),
            knobs={
                "late_fraction": LATE_FRACTION,
                "warm_spare_replicas": gpus * profile.replicas_per_gpu,
            },
        )
        for day, seed, gpus in itertools.product(judged.days, judged.seeds, SPARE_GPUS)
    ]
    summaries = summarise_all(execute(source, jobs, f"{trace}-spares"))
    result = {
        "trace": trace,
        "days": judged.days,
        "seeds": judged.seeds,
        "hardware": HARDWARE,
        "date": time.strftime("%Y-%m-%d"),
        "summaries": [summary.as_json() for summary in summaries],
    }
    path = RESULTS / f"spares-{trace}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"partial-{trace}-spares.jsonl").unlink()
    for row in summaries:
        print(
            f"{row.knobs['warm_spare_replicas']:3.0f} spares  {row.attainment:.3%}  "
            f"{row.gpu_hours:.1f} GPU-hours  {row.reversals:.0f} reversals a day"
        )


if __name__ == "__main__":
    typer.run(main)
