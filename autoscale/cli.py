"""`smallfirst autoscale`: simulate policies, recommend replica counts, explain decisions.

Mounted by the command line of the project; heavy imports wait until a command needs them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autoscale import explain_cli
from autoscale.console import JsonFlag, clear_errors, errors, progress, screen

if TYPE_CHECKING:
    from autoscale.simulation.arrivals import Cut
    from autoscale.simulation.recommend import Objective, Recommendation
    from autoscale.simulation.trace_requests import TraceOptions
    from autoscale.simulation.traces import Trace
    from autoscale.simulation.workload import Profile

app = typer.Typer(no_args_is_help=True, help="Choose, simulate and explain replica counts.")
TraceFile = Annotated[
    Path,
    typer.Option(
        "--trace",
        help="Traffic: Azure, BurstGPT, Mooncake, ServeGen, ledger or Prometheus; .gz too.",
    ),
]
SloWait = Annotated[
    float, typer.Option("--slo-wait-s", min=0.0, help="Longest wait for a slot, seconds.")
]
ProfileFile = Annotated[
    Path | None,
    typer.Option("--profile", help="JSON: slots, service_s, startup_s, replicas_per_gpu, ..."),
]
Scale = Annotated[
    float | None,
    typer.Option(
        "--scale", min=1e-6, help="Multiply the traffic. If absent 1, or less for huge traces."
    ),
]
TimeUnitOption = Annotated[
    Literal["s", "ms", "us", "ns"] | None,
    typer.Option("--time-unit", help="What the trace's times count, where that is unclear."),
]
TierOption = Annotated[
    str, typer.Option("--tier", help="Of our ledger: the tier whose replicas are sized.")
]
MOST_SIMULATED = 6e6  # requests a run: some seconds and some hundred MB
MOST_HELD = 5e7  # requests in memory: some gigabytes
MOST_RECOMMENDED = 3e6  # a recommendation takes 23 runs and at most a minute


def _chosen_scale(
    trace: Trace, asked: float | None, length_s: float, most_requests: float
) -> float:
    """The scale asked for; else all of the traffic, or a share of it that is said."""
    from autoscale.simulation.arrivals import affordable_scale, mean_rate_rps

    if asked is not None:
        most = affordable_scale(trace, length_s, MOST_HELD, most_scale=math.inf)
        if asked > most:
            raise ValueError(f"--scale {asked:g} is too much to simulate; at most {most:.3g}")
        return asked
    scale = affordable_scale(trace, length_s, most_requests)
    if scale < 1.0:
        errors.print(
            f"{trace.name}: {mean_rate_rps(trace):.0f} requests a second; {scale:.3g} of the "
            "traffic is simulated, and GPU-hours are for that share (--scale 1 simulates all)",
            style="yellow",
            highlight=False,
        )
    return scale


def _say_notes(trace: Trace) -> None:
    for note in trace.notes:
        errors.print(f"{trace.name}: {note}", style="yellow", highlight=False)


@app.command()
def simulate(
    trace: TraceFile,
    policy: Annotated[
        str, typer.Option("--policy", help="Names, comma separated; `all` for every one.")
    ] = "all",
    slo_wait_s: SloWait = 2.0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100)] = 3,
    start_hours: Annotated[float, typer.Option("--start-hours", min=0.0)] = 0.0,
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="Part to simulate.")] = 24.0,
    scale: Scale = None,
    max_replicas: Annotated[int, typer.Option("--max-replicas", min=1)] = 400,
    profile: ProfileFile = None,
    time_unit: TimeUnitOption = None,
    tier: TierOption = "small",
    as_json: JsonFlag = False,
) -> None:
    """Attainment, GPU-hours, reversals and waits of policies on a trace, with 95% intervals."""
    with clear_errors():
        from autoscale.simulation.arrivals import Cut
        from autoscale.simulation.compare import POLICIES, check_policies
        from autoscale.simulation.profile_file import read_profile
        from autoscale.simulation.simulate import Limits
        from autoscale.simulation.trace_files import read_trace
        from autoscale.simulation.trace_requests import TraceOptions

        names = list(dict.fromkeys(name.strip() for name in policy.split(",")))
        names = list(POLICIES) if names == ["all"] else names
        check_policies(names)
        read = read_trace(trace, TraceOptions(time_unit, tier))
        _say_notes(read)
        scale = _chosen_scale(read, scale, hours * 3600.0, MOST_SIMULATED)
        cut = Cut(start_hours * 3600.0, hours * 3600.0, scale)
        limits = Limits(max_replicas=max_replicas, slo_wait_s=slo_wait_s)
        summaries = _simulate(read, names, (cut, read_profile(profile), limits), seeds)
        if as_json:
            rows = [summary.as_json() | {"scale": scale} for summary in summaries]
            print(json.dumps(rows, indent=2))
        else:
            from autoscale.simulation.recommend_output import summary_table

            screen.print(summary_table(summaries, f"{read.name}, wait SLO {slo_wait_s:g} s"))


def _simulate(trace: Trace, names: list[str], setting: tuple[Cut, Profile, Any], seeds: int) -> Any:
    from autoscale.simulation.compare import Job, summarise_all
    from autoscale.simulation.parallel import run_all

    jobs = [Job(name, *setting, seed=seed) for seed in range(seeds) for name in names]
    with progress() as bar:
        task = bar.add_task("simulating", total=len(jobs))
        results = []
        for result in run_all(trace, jobs):
            results.append(result)
            bar.advance(task)
    results.sort(key=lambda pair: (names.index(pair[0].policy), pair[0].seed))
    return summarise_all(results)


@app.command()
def recommend(
    trace: Annotated[Path | None, typer.Option("--trace", help="A traffic trace.")] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="Our access ledger: its folder, or one file.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", help="URL; the last week of --query is read.")
    ] = None,
    query: Annotated[
        str, typer.Option("--query", help="PromQL of requests a second.")
    ] = 'sum(rate(ray_smallfirst_requests_total{tier="small"}[1m]))',
    attainment: Annotated[float, typer.Option("--attainment", min=0.5, max=0.99999)] = 0.99,
    slo_wait_s: SloWait = 2.0,
    scale: Scale = None,
    profile: ProfileFile = None,
    time_unit: TimeUnitOption = None,
    tier: TierOption = "small",
    plot: Annotated[Path, typer.Option("--plot", help="PNG to write.")] = Path("frontier.png"),
    as_json: JsonFlag = False,
) -> None:
    """Replica bounds and thresholds for your traffic, judged on days not tuned on."""
    with clear_errors():
        from autoscale.simulation.profile_file import read_profile
        from autoscale.simulation.recommend import Objective
        from autoscale.simulation.trace_requests import TraceOptions

        if not plot.parent.is_dir():
            raise ValueError(f"--plot {plot}: no such folder")
        read = _one_source(trace, ledger, prometheus, query, TraceOptions(time_unit, tier))
        _say_notes(read)
        shape, objective = read_profile(profile), Objective(attainment, slo_wait_s)
        result = _recommended(read, shape, objective, scale)
        _show(result, read.name, objective, plot)
        if as_json:
            from autoscale.simulation.recommend_output import patch_yaml

            patch = patch_yaml(result, shape, slo_wait_s, tier)
            print(json.dumps(asdict(result) | {"patch": patch}))
        else:
            from autoscale.simulation.recommend_output import print_recommendation

            print_recommendation(result, shape, slo_wait_s, plot, tier)


def _recommended(
    trace: Trace, shape: Profile, objective: Objective, scale: float | None
) -> Recommendation:
    """What `recommend` finds, with a progress bar; bounds for all of the traffic."""
    from autoscale.simulation.arrivals import DAY_S
    from autoscale.simulation.days import split
    from autoscale.simulation.recommend import at_full_scale, recommend

    chosen_scale = _chosen_scale(trace, scale, DAY_S, MOST_RECOMMENDED)
    with progress() as bar:
        task = bar.add_task("simulating", total=None)
        result = recommend(
            trace,
            split(trace, chosen_scale),
            shape,
            objective,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    return at_full_scale(result, chosen_scale, shape) if scale is None else result


def _show(result: Recommendation, name: str, objective: Objective, plot: Path) -> None:
    """Plot the frontier on held-out traffic."""
    from autoscale.simulation.plots import plot_frontier

    groups = {"smallfirst": result.frontier} | {s.policy: [s] for s in result.rivals}
    plot_frontier(groups, objective.attainment, f"{name}: held-out traffic", plot)


def _one_source(
    trace: Path | None,
    ledger: Path | None,
    prometheus: str | None,
    query: str,
    options: TraceOptions,
) -> Trace:
    from autoscale.simulation.trace_files import read_trace

    if sum(source is not None for source in (trace, ledger, prometheus)) != 1:
        raise ValueError("give exactly one of --trace, --ledger and --prometheus")
    if prometheus is not None:
        from autoscale.simulation.prometheus import query_week

        return query_week(prometheus, query)
    return read_trace(trace or ledger or Path(), options)


explain_cli.add_commands(app)
