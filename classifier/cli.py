"""`smallfirst classifier`: train, calibrate, evaluate, explain, inspect, drift."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from classifier import ClassifierError, load
from classifier.artifact import SHIPPED

app = typer.Typer(help="Train, calibrate and question the classifier.", no_args_is_help=True)
#: Results go to standard output, everything a person reads meanwhile to standard error.
out, err = Console(), Console(stderr=True)

Data = Annotated[str, typer.Option(help="Labelled rows: JSONL, CSV or Parquet; commas between.")]
Model = Annotated[Path | None, typer.Option(help="An artefact folder; else the default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and exit code 2."""
    try:
        yield
    except (ClassifierError, OSError) as fault:
        err.print(f"error: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def _paths(data: str) -> list[Path]:
    found = [Path(part.strip()) for part in data.split(",") if part.strip()]
    if not found:
        raise ClassifierError("--data names no file")
    return found


@app.command()
def train(  # a command's options are its parameters
    data: Data,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write the artefact to.")],
    objective: Annotated[str, typer.Option(help="gain (both tiers labelled) or fail.")] = "gain",
    budget: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share to send large.")] = 0.05,
    seed: int = 0,
    rungs: Annotated[str, typer.Option(help="Rungs to try.")] = "lexical,neighbours,neural",
    unfamiliar: Annotated[str, typer.Option(help="small, large or score.")] = "score",
    max_rows: Annotated[int, typer.Option(min=1, help="Distinct prompts used.")] = 50_000,
    show_prompts: Annotated[bool, typer.Option(help="Excerpts in the report's misses.")] = False,
    force: Annotated[bool, typer.Option(help="Write it although a baseline is as good.")] = False,
) -> None:
    """Train the cheapest sufficient rung, judge it, and write the artefact and a report."""
    with one_line_errors():
        from classifier.data.reading import read_rows
        from classifier.errors import DataError
        from classifier.training.packaging import write
        from classifier.training.prepare import Options
        from classifier.training.report import write_report
        from classifier.training.run import train as fit

        chosen = {"objective": objective, "unfamiliar": unfamiliar}
        _among(objective, "--objective", ("gain", "fail"))
        _among(unfamiliar, "--unfamiliar", ("small", "large", "score"))
        wanted = [name.strip() for name in rungs.split(",")]
        for name in wanted:
            _among(name, "--rungs", ("lexical", "neighbours", "neural"))
        if out_dir.exists() and not out_dir.is_dir():  # before minutes of training
            raise DataError(f"--out {out_dir} is not a folder")
        rows = read_rows(_paths(data), max_rows)
        with _progress() as advance:
            options: Any = {"budget": budget, "seed": seed, "rungs": wanted, "progress": advance}
            try:
                trained = fit(rows, Options(**options, **chosen))  # type: ignore[arg-type]  # checked
            except DataError as fault:
                raise DataError(f"{data}: {fault}") from None
        report = write_report(trained, out_dir, show_prompts)
        err.print(f"report: {report}")
        if not (trained.proven or force):
            beaten = [name for name, (low, _) in trained.advantage.items() if low <= 0]
            err.print(
                f"not promoted: no better than {', '.join(beaten)} beyond the 95% interval. "
                "Bring more labels, or --force to write it anyway.",
                style="yellow",
                soft_wrap=True,
            )
            raise typer.Exit(1)
        artifact_id = write(trained, out_dir, {})
        err.print(f"artefact {artifact_id} ({trained.chosen}) in {out_dir}")


def _among(value: str, option: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ClassifierError(f"{option} {value!r}: give one of {', '.join(known)}")


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    from rich.progress import Progress

    bars, tasks = Progress(console=err, transient=True), dict[str, Any]()

    def advance(name: str, done: float) -> None:
        if name not in tasks:
            bars.start()  # not before there is something to show: a fault stays one line
            tasks[name] = bars.add_task(f"fit {name}", total=1.0)
        bars.update(tasks[name], completed=done)

    try:
        yield advance
    finally:
        if tasks:
            bars.stop()


@app.command()
def calibrate(  # a command's options are its parameters
    traffic: Annotated[Path | None, typer.Option(help="Recent prompts, no labels needed.")] = None,
    data: Annotated[str | None, typer.Option(help="Labelled rows, for --min-quality.")] = None,
    model: Model = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Write the moved artefact.")] = None,
    budget: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Share large.")] = None,
    max_cost_usd: Annotated[float | None, typer.Option(help="Mean cost of a request.")] = None,
    min_quality: Annotated[float | None, typer.Option(help="Mean quality to reach.")] = None,
    small_usd: Annotated[float, typer.Option(help="A small tier's request.")] = 0.002,
    large_usd: Annotated[float, typer.Option(help="A large tier's request.")] = 0.06,
    unfamiliar: Annotated[str | None, typer.Option(help="Policy: small, large or score.")] = None,
    max_half_width: Annotated[float, typer.Option(help="Widest interval accepted.")] = 0.03,
    as_json: AsJson = False,
) -> None:
    """Set the threshold for a budget, a cost or a quality, with the interval to expect."""
    with one_line_errors():
        from classifier.threshold.calibrate import Goal
        from classifier.threshold.calibrate import calibrate as run

        policy: Any = unfamiliar
        if policy is not None:
            _among(policy, "--unfamiliar", ("small", "large", "score"))
        goal = Goal(budget, max_cost_usd, min_quality, small_usd, large_usd)
        files = traffic, _paths(data) if data else []
        found = run(load(model), files, goal, max_half_width, policy)
        result = found.summary
        if out_dir is not None:
            result["artifact_id"] = found.write(out_dir)
            result["out"] = str(out_dir)
        _show(result, as_json)


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return
    grid = Table(show_header=False, box=None)
    for key, value in result.items():
        text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')
        grid.add_row(key, text)
    out.print(grid)


@app.command()
def evaluate(data: Data, model: Model = None, as_json: AsJson = False) -> None:
    """Judge a classifier on labelled rows beside random, oracle and the simple rules."""
    with one_line_errors():
        from classifier.data.reading import read_rows
        from classifier.judging.evaluate import evaluate as run
        from classifier.training.report import table

        rows = run(load(model), read_rows(_paths(data)))
        sys.stdout.write((json.dumps(rows, indent=1) if as_json else table(rows)) + "\n")


@app.command()
def explain(
    prompt: Annotated[str, typer.Argument(help="The prompt, or - to read standard input.")],
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Say why a prompt gets its score: what each part of it adds."""
    with one_line_errors():
        from classifier.judging.explain import explain as run

        found = run(load(model), sys.stdin.read() if prompt == "-" else prompt)
        if as_json:
            sys.stdout.write(json.dumps(asdict(found) | {"tier": found.tier}, indent=1) + "\n")
            return
        _show({"tier": found.tier, "threshold": found.threshold, **asdict(found.score)}, False)
        grid = Table("adds", "part", box=None)
        for part, adds in sorted(found.parts, key=lambda pair: -abs(pair[1]))[:12]:
            grid.add_row(f"{adds:+.3f}", part)
        out.print(grid)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="An artefact folder.")] = SHIPPED,
    as_json: AsJson = False,
) -> None:
    """Say what is in an artefact, after checking every byte of it."""
    with one_line_errors():
        found = load(model)  # which checks every file
        manifest = dict(found.artifact.manifest)
        if as_json:
            whole = {"artifact_id": found.artifact_id, **manifest}
            sys.stdout.write(json.dumps(whole, indent=1) + "\n")
            return
        total = sum(entry["bytes"] for entry in manifest["files"].values())
        training = manifest["training"]
        _show(
            {
                "artifact_id": found.artifact_id,
                "serving": found.rung_name,
                "rungs": sorted(manifest["rungs"]),
                "objective": manifest["objective"],
                "budget": manifest["rungs"][found.rung_name]["budget"],
                "reachable": [round(v, 3) for v in found.reachable],
                "unfamiliar": found.policy,
                "rows": training.get("rows"),
                "megabytes": round(total / 1e6, 2),
                "data": training.get("data", {}),
                "proven": training.get("proven"),
            },
            False,
        )


@app.command()
def drift(
    ledger: Annotated[Path, typer.Option(help="JSONL: scores, or prompts to score.")],
    model: Model = None,
    window: Annotated[int, typer.Option(min=100, help="Prompts per window.")] = 300,
    as_json: AsJson = False,
) -> None:
    """Hold windows of recent traffic against the traffic that set the threshold."""
    with one_line_errors():
        from classifier.judging.ledger import watch

        reports = watch(load(model), ledger, window)
        if as_json:
            sys.stdout.write(json.dumps(reports, indent=1) + "\n")
        else:
            grid = Table("window", "shift p", "KS p", "unfamiliar", "escalated", "alarm", box=None)
            for i, r in enumerate(reports):
                cells = (r["shift_p"], r["ks_p"], r["unfamiliar_rate"], r["escalation_rate"])
                shown = ("" if c is None else f"{c:.3f}" for c in cells)
                grid.add_row(str(i + 1), *shown, "yes" if r["alarm"] else "")
            out.print(grid)
        if any(r["alarm"] for r in reports):
            raise typer.Exit(1)
