"""`smallfirst k8s render`: the Serve config of every overlay, from the application's settings."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deployments.commands.endpoint import fail
from deployments.kubernetes.render import SERVE_CONFIG, serve_config_patch
from deployments.settings.config_mistake import ConfigError

app = typer.Typer(help="The KubeRay manifests of k8s/.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, though it has one verb today: `smallfirst k8s render`."""


@app.command()
def render(
    overlays: Annotated[
        list[Path] | None,
        typer.Argument(help="Overlay folders with an app.yaml; all of k8s/overlays if left out."),
    ] = None,
    serve_file: Annotated[
        Path, typer.Option("--config", help="Serve config file that gives all but the settings.")
    ] = Path("serve_config.yaml"),
    check: Annotated[bool, typer.Option("--check", help="Compare instead of writing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="An object for programs.")] = False,
) -> None:
    """Write each overlay's serve-config.yaml; with --check fail where one is stale."""
    folders = overlays or sorted(path.parent for path in Path("k8s/overlays").glob("*/app.yaml"))
    if not folders:
        fail("no overlay in k8s/overlays here: name the folders, or run it at the project's root")
    try:
        stale = [file for folder in folders if (file := _render(folder, serve_file, check))]
    except (ConfigError, OSError) as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps({"stale" if check else "written": [str(file) for file in stale]}))
    elif stale and not check:
        typer.echo("\n".join(f"wrote {file}" for file in stale))
    if stale and check:
        fail(f"{', '.join(map(str, stale))} is stale: run smallfirst k8s render")


def _render(folder: Path, serve_file: Path, check: bool) -> Path | None:
    """The file that was not what it has to be; written anew unless it is only looked at."""
    text, file = serve_config_patch(folder, serve_file), folder / SERVE_CONFIG
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return None
    if not check:
        file.write_text(text, encoding="utf-8")
    return file
