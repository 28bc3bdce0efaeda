"""What a recommendation costs on days it has not seen, against the best setting in hindsight.

    python -m bench.autoscale.regret --trace azure-code --trace servegen-m-small

One day (or half a short trace) tunes, the next one judges. The regret is the recommended setting's
GPU-hours over those of the cheapest setting that would have met the goal on the unseen day; the
attainment stands beside it, because missing the goal is cheap. Also times a recommendation: the
bar is 60 s a trace-day on 2 cores. Writes bench/autoscale/results/regret.json.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Annotated, Any

import typer
from rich.table import Table

from autoscale.cli import MOST_RECOMMENDED
from autoscale.simulation.days import split
from autoscale.simulation.recommend import Objective, recommend
from autoscale.simulation.workload import Profile
from bench.autoscale.frontier_report import screen
from bench.autoscale.traffic import DATA, HARDWARE, RESULTS, TRACES, load

GOAL = 0.99
PATH = RESULTS / "regret.json"


def main(
    trace: Annotated[list[str], typer.Option(help=f"of {', '.join(TRACES)}; may be repeated")],
) -> None:
    """Recommend for traces, and keep what it came to; other traces' results stay."""
    if unknown := sorted(set(trace) - set(TRACES)):
        sys.exit(f"unknown trace {unknown[0]!r}; known are {', '.join(TRACES)}")
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: the traces are not part of the repository")
    found = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    for name in trace:
        found[name] = measure(name)
        PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    screen.print(_table(found))


def measure(name: str) -> dict[str, Any]:
    """One recommendation for a trace, judged on the part that it has not seen."""
    source, scale = load(name)
    began, spent_s = time.monotonic(), sum(os.times()[:4])
    result = recommend(source, split(source, scale), Profile(), Objective(GOAL), lambda *_: None)
    wall_s, cpu_s = time.monotonic() - began, sum(os.times()[:4]) - spent_s
    unseen = {
        s.policy: {"attainment": s.attainment, "gpu_hours": s.gpu_hours}
        for s in (result.held_out, *result.rivals)
    }
    return {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": HARDWARE,
        "requests": result.held_out.requests,
        "most_requests": MOST_RECOMMENDED,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "cores": len(os.sched_getaffinity(0)),
        "knobs": result.knobs,
        "best_in_hindsight": result.best_in_hindsight,
        "regret": result.regret,
        "verdict": result.verdict,
        "unseen": unseen,
    }


def _table(found: dict[str, Any]) -> Table:
    table = Table(title=f"Recommended settings on unseen traffic, goal {GOAL:.0%}")
    for head in ("trace", "within SLO", "GPU-hours", "regret", "wall s", "CPU s", "cores"):
        table.add_column(head, justify="left" if head == "trace" else "right")
    for name, row in found.items():
        ours = row["unseen"]["smallfirst"]
        table.add_row(
            name,
            f"{ours['attainment']:.3%}",
            f"{ours['gpu_hours']:.1f}",
            f"{row['regret']:.1%}",
            *(str(row[key]) for key in ("wall_s", "cpu_s", "cores")),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
