"""`smallfirst audit verify`: whether the record of what left the cluster is whole."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.commands.endpoint import fail
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import audit_key

app = typer.Typer(help="The audit log of what left the cluster.", no_args_is_help=True)


@app.callback()
def _only_verbs() -> None:
    """Keep `verify` a verb of its own."""


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="The folder that privacy.audit_dir names.")],
    key_env: Annotated[
        str | None, typer.Option(help="As privacy.audit_key_env: the variable with the key.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find every changed, removed or reordered line; ends with 1 where there is one."""
    # Imported here: most commands need none of it.
    from deployments.egress.audit import NAME, problems

    if not folder.is_dir():
        fail(f"{folder}: no such folder")
    files = len(list(folder.glob(NAME)))
    try:
        found = list(problems(folder, audit_key(key_env)))
    except ConfigError as error:
        fail(str(error).replace("privacy.audit_key_env", "--key-env"))
    if not files and not found:
        fail(f"{folder}: holds no audit log (egress-*.jsonl)")
    if as_json:
        broken = [{"file": name, "problem": problem} for name, problem in found]
        print(json.dumps({"files": files, "broken": broken}))
    else:
        out = Console(highlight=False, soft_wrap=True)
        for name, problem in found:
            out.print(f"{name}: {problem}", markup=False)
        out.print(f"{files} files, {len(found)} broken" if found else f"{files} files, all whole")
    raise typer.Exit(bool(found))
