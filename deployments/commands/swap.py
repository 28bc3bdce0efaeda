"""`smallfirst swap` and `smallfirst apply`: another model, or an edited config, without a gap."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.commands.local_files import with_local_files
from deployments.commands.rollout import (
    RolledBack,
    changed_model,
    failed_probes,
    joined_cluster,
    read_golden_set,
    roll_out,
)
from deployments.settings.app import AppConfig, TierName
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import cache_dir, user_id
from deployments.settings.serve_file import load_serve_file

app = typer.Typer(help=__doc__, no_args_is_help=True)
console = Console(stderr=True, highlight=False)

Config = Annotated[Path, typer.Option(help="Serve config file that runs now.")]
Golden = Annotated[Path | None, typer.Option(help="JSON lines with 'prompt' and 'matches'.")]
Url = Annotated[str, typer.Option(help="Where the endpoint listens.")]
TempDir = Annotated[Path | None, typer.Option(help="The cluster's --temp-dir.")]
DEFAULT_CONFIG = Path("serve_config.yaml")
DEFAULT_URL = "http://127.0.0.1:8000"


@app.command()
def swap(
    tier: Annotated[TierName, typer.Argument(help="small or large.")],
    model: Annotated[str, typer.Option(help="Name that clients will see.")],
    path: Annotated[str | None, typer.Option(help="Checkpoint folder on every node.")] = None,
    config: Config = DEFAULT_CONFIG,
    golden: Golden = None,
    url: Url = DEFAULT_URL,
    temp_dir: TempDir = None,
) -> None:
    """Roll another model into a tier, probe it, and roll back by itself if a probe fails."""
    try:
        old = _load(config)
        new = changed_model(old, tier, model, path)
        _roll(old, new, tier, (url, golden, temp_dir))
    except ConfigError as error:
        _fail(f"error: {error}")
    console.print(f"{tier} is now {model}. To keep it, write into {config}, under {tier}:")
    console.print(f"  model: {model}" + (f"\n  engine.path: {path}" if path else ""))


@app.command()
def apply(
    old: Annotated[Path, typer.Option(help="Serve config file that runs now.")],
    new: Annotated[Path, typer.Option(help="The edited one.")],
    golden: Golden = None,
    url: Url = DEFAULT_URL,
    temp_dir: TempDir = None,
) -> None:
    """Run an edited config instead of the one that runs now; back to the old if it fails."""
    try:
        _roll(_load(old), _load(new), "small", (url, golden, temp_dir))
    except ConfigError as error:
        _fail(f"error: {error}")
    console.print(f"{new} runs.")


def _load(config: Path) -> AppConfig:
    return with_local_files(load_serve_file(config).app, cache_dir())


def _roll(
    old: AppConfig, new: AppConfig, tier: TierName, where: tuple[str, Path | None, Path | None]
) -> None:
    url, golden, temp_dir = where
    probes = read_golden_set(golden)
    folder = temp_dir or Path(tempfile.gettempdir()) / f"smallfirst-{user_id()}"
    rolling = console.status("rolling out")

    def show(states: dict[str, str]) -> None:
        rolling.update(" · ".join(f"{name} {state.lower()}" for name, state in states.items()))

    with joined_cluster(folder) as run_app, rolling:
        try:
            roll_out(
                lambda config: run_app(config, show),
                old,
                new,
                lambda: failed_probes(url, tier, probes),
            )
        except RolledBack as error:
            _fail(f"rolled back: {error}")


def _fail(message: str) -> None:
    console.print(message, markup=False, soft_wrap=True)
    raise typer.Exit(2)
