"""`smallfirst answer-check`: collect, train, evaluate, inspect."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from answer_check import artifact
from answer_check.artifact import AnswerCheckError
from answer_check.fitting import auroc, calibration_error
from answer_check.rows import Row, read_rows
from answer_check.training import train as fit
from classifier.errors import ClassifierError
from deployments.commands.answer_asking import Asker, append_line, left
from deployments.commands.endpoint import DEFAULT_URL, CaFile, KeyFile, Url, endpoint_or_exit
from deployments.gateway.judge import HOLD_TOKENS

app = typer.Typer(
    help="Train and question the check of the small tier's answers.", no_args_is_help=True
)
#: Results go to standard output, everything a person reads meanwhile to standard error.
#: No markup: names and paths may hold brackets.
out, err = Console(markup=False), Console(stderr=True, markup=False)

Data = Annotated[str, typer.Option(help="JSONL rows with answers; commas between files.")]
Artifact = Annotated[Path, typer.Option("--artifact", help="Folder that `train` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Scored = Annotated[
    Path | None,
    typer.Option("--classifier", help="Folder of classifier.artifact, if the endpoint has one."),
]
ANSWER_TIMEOUT_S = 600.0
FAILED_SHOWN = 5


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and exit code 2."""
    try:
        yield
    except (AnswerCheckError, ClassifierError, OSError, httpx.HTTPError) as fault:
        err.print(f"error: {fault}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


@app.command()
def collect(
    data: Annotated[Path, typer.Option(help="JSONL: messages or prompt; expected, or small.")],
    to: Annotated[Path, typer.Option("--out", help="JSONL to write; what is there is kept.")],
    large: Annotated[bool, typer.Option(help="Ask the large tier too, and mark it.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Ask the running small tier, and keep its answers with their log-probabilities and marks."""
    with one_line_errors():
        todo, failed = left(data, to), []
        with (
            endpoint_or_exit(url, key_file, ca_file).client(ANSWER_TIMEOUT_S) as http,
            to.open("ab+") as file,
        ):
            answers = Asker(http, max_tokens, large).answers(todo)
            for answer in track(answers, "asking", len(todo), console=err):
                if answer.row is None:
                    failed.append(answer)
                else:
                    append_line(file, answer.row)
    err.print(f"{to}: {len(todo) - len(failed)} rows added", soft_wrap=True)
    if failed:
        for answer in failed[:FAILED_SHOWN]:
            err.print(f"{answer.place}: {answer.why}", style="red", soft_wrap=True)
        err.print(f"{len(failed)} rows without an answer: run it again", style="red")
        raise typer.Exit(1)


@app.command()
def train(
    data: Data,
    to: Annotated[Path, typer.Option("--out", help="Folder to write the artefact to.")],
    model: Annotated[str, typer.Option(help="small.model: the name that is served.")],
    quantisation: Annotated[str, typer.Option(help="How its weights are stored.")] = "int4",
    hold_tokens: Annotated[
        int, typer.Option(min=1, max=artifact.MAX_HOLD_TOKENS, help="Tokens to judge by.")
    ] = HOLD_TOKENS,
    budget: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share to send large.")] = 0.05,
    classifier: Scored = None,
) -> None:
    """Fit and calibrate the check of one served model; write it with what it is worth."""
    with one_line_errors():
        rows, scored_by = with_gain(read_rows(_paths(data)), classifier)
        fitted_model, fitted = fit(rows, model, quantisation, hold_tokens, budget)
        worth = {
            name: {"auroc": round(one.auroc, 4), "ece": round(one.calibration_error, 4)}
            for name, one in fitted.items()
        }
        told = {"rows": len(rows), "budget": budget, "held_out": worth}
        written = artifact.write(to, replace(fitted_model, classifier=scored_by), told)
    _show(f"{to}: {written.artifact_id}, for {model} ({quantisation})", worth)


@app.command()
def evaluate(
    data: Data, folder: Artifact, as_json: AsJson = False, classifier: Scored = None
) -> None:
    """What an artefact is worth on rows that it was not trained on."""
    with one_line_errors():
        import numpy as np

        model = artifact.read(folder)
        rows, scored_by = with_gain(read_rows(_paths(data)), classifier)
        if not model.weighs_scores_of(scored_by):
            raise AnswerCheckError(
                f"{folder} weighs the scores of the classifier {model.classifier}, not of "
                f"{scored_by}: name its folder with --classifier"
            )
        labels = np.array([row.label for row in rows])
        worth = {}
        for name, tokens in (("beginning", model.hold_tokens), ("whole", None)):
            p = np.array([model.probability(row.beginning(tokens)) for row in rows])
            worth[name] = {"auroc": auroc(p, labels), "ece": calibration_error(p, labels)}
    if as_json:
        out.print_json(json.dumps({"artifact": model.artifact_id, "rows": len(rows), **worth}))
    else:
        _show(f"{folder}: {model.artifact_id} on {len(rows)} rows", worth)


@app.command()
def inspect(folder: Artifact, as_json: AsJson = False) -> None:
    """For which model an artefact is, what it was trained on, what each head weighs."""
    with one_line_errors():
        model, told = artifact.read(folder), artifact.about(folder)
    facts = {
        "artifact": model.artifact_id,
        "served_model": model.served_model,
        "quantisation": model.quantisation,
        "hold_tokens": model.hold_tokens,
        "budget_probability": model.budget_probability,
        "classifier": model.classifier,
        **told,
    }
    if as_json:
        out.print_json(json.dumps(facts))
        return
    table = Table(show_header=False)
    for key, value in facts.items():
        table.add_row(key, str(value))
    out.print(table)


def with_gain(rows: list[Row], folder: Path | None = None) -> tuple[list[Row], str]:
    """The rows with what a classifier (None: the package's) says of their questions, where they do
    not say it themselves, and its artefact; empty where it was not asked."""
    from classifier import load

    if all(row.gain is not None for row in rows):
        return rows, ""
    classifier = load(folder)
    scores = [classifier.score(row.question) if row.gain is None else None for row in rows]
    scored = [
        row if score is None else replace(row, gain=score.gain, p_small=score.p_small)
        for row, score in zip(rows, scores, strict=True)
    ]
    return scored, classifier.artifact_id


def _paths(data: str) -> list[Path]:
    return [Path(part.strip()) for part in data.split(",") if part.strip()]


def _show(title: str, worth: dict[str, dict[str, float]]) -> None:
    table = Table("judged by", "AUROC", "ECE", title=title)
    for name, figures in worth.items():
        table.add_row(name, f"{figures['auroc']:.3f}", f"{figures['ece']:.3f}")
    out.print(table)
