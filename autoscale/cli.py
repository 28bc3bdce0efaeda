"""`smallfirst autoscale`: simulate policies, recommend replica counts, explain decisions.

Mounted by the command line of the project; heavy imports wait until a command needs them.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autoscale.journal import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscale.arrivals import Cut
    from autoscale.traces import Trace
    from autoscale.workload import Profile

app = typer.Typer(no_args_is_help=True, help="Choose, simulate and explain replica counts.")
screen = Console()
errors = Console(stderr=True)

TraceFile = Annotated[
    Path,
    typer.Option(
        "--trace",
        help="Traffic: Azure, BurstGPT, Mooncake, ServeGen, ledger or Prometheus; .gz too.",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
SloWait = Annotated[
    float, typer.Option("--slo-wait-s", min=0.0, help="Longest wait for a slot, seconds.")
]
ProfileFile = Annotated[
    Path | None,
    typer.Option("--profile", help="JSON: slots, service_s, startup_s, replicas_per_gpu, ..."),
]
Scale = Annotated[float, typer.Option("--scale", min=1e-6, help="Multiply the traffic.")]
Journal = Annotated[Path, typer.Option("--journal", help="The policy's journal_path.")]
JOURNAL = Path(DEFAULT_PATH)
Deployment = Annotated[str | None, typer.Option("--deployment", help="Only this deployment.")]
At = Annotated[
    str | None, typer.Option("--at", help="Unix seconds or ISO time (UTC); the last if absent.")
]


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn mistakes of the caller into one line and exit code 2; Ctrl-C into 130."""
    try:
        yield
    except (ValueError, OSError) as error:
        errors.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        errors.print("stopped")
        raise typer.Exit(130) from None


def _load_profile(path: Path | None) -> Profile:
    from dataclasses import fields

    from autoscale.workload import Profile

    if path is None:
        return Profile()
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno}: not JSON") from None
    known = {field.name for field in fields(Profile)}
    if unknown := sorted(set(given) - known):
        raise ValueError(
            f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    if "colocation_curve" in given:
        given["colocation_curve"] = tuple(given["colocation_curve"])
    return Profile(**given)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )


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
    scale: Scale = 1.0,
    max_replicas: Annotated[int, typer.Option("--max-replicas", min=1)] = 400,
    profile: ProfileFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Attainment, GPU-hours, reversals and waits of policies on a trace, with 95% intervals."""
    with _clear_errors():
        from autoscale.arrivals import Cut
        from autoscale.compare import POLICIES, check_policies
        from autoscale.simulate import Limits
        from autoscale.traces import read_trace

        names = list(POLICIES) if policy == "all" else [n.strip() for n in policy.split(",")]
        check_policies(names)
        read = read_trace(trace)
        _say_notes(read)
        cut = Cut(start_hours * 3600.0, hours * 3600.0, scale)
        limits = Limits(max_replicas=max_replicas, slo_wait_s=slo_wait_s)
        summaries = _simulate(read, names, (cut, _load_profile(profile), limits), seeds)
        if as_json:
            print(json.dumps([summary.as_json() for summary in summaries], indent=2))
        else:
            screen.print(_table(summaries, f"{read.name}, wait SLO {slo_wait_s:g} s"))


def _simulate(trace: Trace, names: list[str], setting: tuple[Cut, Profile, Any], seeds: int) -> Any:
    from autoscale.compare import Job, run_all, summarise_all

    jobs = [Job(name, *setting, seed=seed) for seed in range(seeds) for name in names]
    with _progress() as bar:
        task = bar.add_task("simulating", total=len(jobs))
        results = []
        for result in run_all(trace, jobs):
            results.append(result)
            bar.advance(task)
    results.sort(key=lambda pair: (names.index(pair[0].policy), pair[0].seed))
    return summarise_all(results)


def _table(summaries: Any, title: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("policy", no_wrap=True)
    heads = (
        "within SLO %",
        "GPU-hours",
        "reversals\na day",
        "wait p50\ns",
        "wait p99\ns",
        "starts",
    )
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for s in summaries:
        spread = 50 * (s.attainment_ci[1] - s.attainment_ci[0])
        gpu_spread = (s.gpu_hours_ci[1] - s.gpu_hours_ci[0]) / 2
        table.add_row(
            s.policy,
            f"{100 * s.attainment:.3f}" + (f" ±{spread:.3f}" if len(s.seeds) > 1 else ""),
            f"{s.gpu_hours:.1f}" + (f" ±{gpu_spread:.1f}" if len(s.seeds) > 1 else ""),
            f"{s.reversals:.0f}",
            f"{s.wait_p50_s:.2f}",
            f"{s.wait_p99_s:.2f}",
            f"{s.starts:.0f}",
        )
    return table


@app.command()
def recommend(
    trace: Annotated[Path | None, typer.Option("--trace", help="A traffic trace.")] = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Our access ledger.")] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", help="URL; the last week of --query is read.")
    ] = None,
    query: Annotated[
        str, typer.Option("--query", help="PromQL of requests a second.")
    ] = "sum(rate(smallfirst_requests_total[1m]))",
    attainment: Annotated[float, typer.Option("--attainment", min=0.5, max=0.99999)] = 0.99,
    slo_wait_s: SloWait = 2.0,
    scale: Scale = 1.0,
    profile: ProfileFile = None,
    plot: Annotated[Path, typer.Option("--plot", help="PNG to write.")] = Path("frontier.png"),
    as_json: JsonFlag = False,
) -> None:
    """Replica bounds and thresholds for your traffic, judged on days not tuned on."""
    with _clear_errors():
        from autoscale.plots import plot_frontier
        from autoscale.recommend import Objective, recommend, split

        read = _one_source(trace, ledger, prometheus, query)
        _say_notes(read)
        shape = _load_profile(profile)
        objective = Objective(attainment, slo_wait_s)
        with _progress() as bar:
            task = bar.add_task("simulating", total=None)
            result = recommend(
                read,
                split(read, scale),
                shape,
                objective,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        groups = {"smallfirst": result.frontier} | {s.policy: [s] for s in result.rivals}
        plot_frontier(groups, attainment, f"{read.name}: held-out traffic", plot)
        if as_json:
            from dataclasses import asdict

            print(json.dumps(asdict(result) | {"patch": _patch(result, shape, slo_wait_s)}))
        else:
            _print_recommendation(result, shape, slo_wait_s, plot)


def _one_source(
    trace: Path | None, ledger: Path | None, prometheus: str | None, query: str
) -> Trace:
    from autoscale.traces import read_trace

    if sum(source is not None for source in (trace, ledger, prometheus)) != 1:
        raise ValueError("give exactly one of --trace, --ledger and --prometheus")
    if prometheus is not None:
        from autoscale.prometheus import query_week

        return query_week(prometheus, query)
    return read_trace(trace or ledger or Path())


def _patch(result: Any, profile: Profile, slo_wait_s: float) -> str:
    """The `autoscaling_config` of the recommended deployment, ready for `serve_config.yaml`."""
    import yaml

    kwargs = {
        "slo_wait_s": slo_wait_s,
        "slots_per_replica": profile.slots,
        "replicas_per_gpu": profile.replicas_per_gpu,
        "service_prior_s": profile.service_s,
        "startup_prior_s": profile.startup_s,
    } | result.knobs
    config = {
        "max_ongoing_requests": profile.slots,
        "autoscaling_config": {
            "min_replicas": result.min_replicas,
            "max_replicas": result.max_replicas,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 3.0,
            "upscale_delay_s": 0.0,
            "downscale_delay_s": 0.0,
            "policy": {
                "policy_function": "autoscale.policy:QueueDepthPolicy",
                "policy_kwargs": kwargs,
            },
        },
    }
    return str(yaml.safe_dump(config, sort_keys=False))


def _print_recommendation(result: Any, profile: Profile, slo_wait_s: float, plot: Path) -> None:
    style = "green" if result.met else "red"
    screen.print(result.verdict, style=style, highlight=False, soft_wrap=True)
    screen.print(_table([result.held_out, *result.rivals], "held-out traffic"))
    frontier = [_named(s, _knob_text(s.knobs)) for s in result.frontier]
    screen.print(_table(frontier, "settings on held-out traffic"))
    sensitivity = [_named(summary, name) for name, summary in result.sensitivity]
    screen.print(_table(sensitivity, "the chosen setting under other circumstances"))
    usd = profile.gpu_usd_per_hour * result.held_out.gpu_hours
    screen.print(
        f"Held out: {result.regret:.1%} more GPU-hours than the best setting in hindsight; "
        f"{usd:.2f} USD at {profile.gpu_usd_per_hour:g} USD a GPU-hour. Plot: {plot}",
        highlight=False,
        soft_wrap=True,
    )
    screen.print(_patch(result, profile, slo_wait_s), highlight=False, soft_wrap=True)


def _named(summary: Any, name: str) -> Any:
    from dataclasses import replace

    return replace(summary, policy=name)


def _knob_text(knobs: dict[str, float]) -> str:
    short = {"late_fraction": "late", "hold_down_s": "hold", "warm_spare_replicas": "spares"}
    return " ".join(f"{short.get(name, name)} {value:g}" for name, value in knobs.items())


@app.command()
def explain(
    journal: Journal = JOURNAL,
    at: At = None,
    deployment: Deployment = None,
    as_json: JsonFlag = False,
) -> None:
    """Why the replica count was what it was at a time, and what would have changed it."""
    with _clear_errors():
        from dataclasses import asdict

        from autoscale.explain import entry_at, explanation

        entry = entry_at(journal, _time(at), deployment)
        lines = explanation(entry)
        if as_json:
            print(json.dumps(asdict(entry) | {"explanation": lines}, default=list))
            return
        when = datetime.fromtimestamp(entry.observation.time_s, UTC)
        screen.print(f"{when:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
        for line in lines:
            screen.print(line, highlight=False, soft_wrap=True)


@app.command("why-not")
def why_not(
    replicas: Annotated[int, typer.Argument(min=0)],
    journal: Journal = JOURNAL,
    at: At = None,
    deployment: Deployment = None,
) -> None:
    """What spoke against another number of replicas."""
    with _clear_errors():
        from autoscale.explain import entry_at
        from autoscale.explain import why_not as reasons_against

        entry = entry_at(journal, _time(at), deployment)
        screen.print(f"Why not {replicas} instead of {entry.replicas}:", highlight=False)
        for reason in reasons_against(entry, replicas):
            screen.print(f"- {reason}", highlight=False, soft_wrap=True)


@app.command()
def replay(journal: Journal = JOURNAL) -> None:
    """Decide every recorded line again; fails if one decision differs."""
    with _clear_errors():
        from autoscale.explain import read_journal

        total, different = 0, []
        for number, entry in enumerate(read_journal(journal), 1):
            total += 1
            if not entry.replays():
                different.append(number)
        if different:
            raise ValueError(
                f"{len(different)} of {total} differ, the first in line {different[0]}"
            )
        screen.print(f"{total} decisions replayed, all identical", highlight=False)


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--at {text!r}: write Unix seconds or 2026-01-31T12:00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
