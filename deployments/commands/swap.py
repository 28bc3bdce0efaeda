"""`smallfirst swap` and `smallfirst apply`: another model, or an edited config, without a gap."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from filelock import FileLock, Timeout
from rich.console import Console

from deployments.commands.effective import effective_config, this_machine
from deployments.commands.endpoint import CaFile, Endpoint, KeyFile, endpoint, fail
from deployments.commands.rollout import (
    RolledBack,
    changed_model,
    changed_tiers,
    check_key,
    deadline_s,
    failed_probes,
    find_run,
    joined_cluster,
    read_golden_set,
    roll_out,
)
from deployments.commands.run_folder import RAY_FOLDER, Run, keep, live_runs, run_folder
from deployments.commands.serve import check_paths
from deployments.commands.surge import with_place
from deployments.settings.app import AppConfig, TierName
from deployments.settings.config_mistake import ConfigError
from deployments.settings.serve_file import load_serve_file

console = Console(stderr=True, highlight=False)

Golden = Annotated[Path | None, typer.Option(help="JSON lines with 'prompt' and 'matches'.")]
RunningUrl = Annotated[
    str | None,
    typer.Option(help="Where the endpoint runs; needed where several do.", envvar="SMALLFIRST_URL"),
]
Within = Annotated[
    float | None, typer.Option(help="Longest wait until all replicas run, seconds.", min=1)
]
TempDir = Annotated[Path | None, typer.Option(help="The cluster's --temp-dir.")]
DEFAULT_CONFIG = Path("serve_config.yaml")


class Running(NamedTuple):
    """What is to be changed, and how it is judged."""

    folder: Path
    run: Run
    at: Endpoint
    golden: Path | None
    within_s: float | None


def swap(
    tier: Annotated[TierName, typer.Argument(help="small or large.")],
    model: Annotated[str, typer.Option(help="Name that clients will see.")],
    path: Annotated[str | None, typer.Option(help="Checkpoint folder on every node.")] = None,
    config: Annotated[
        Path, typer.Option(help="File to keep the change in; only named.")
    ] = DEFAULT_CONFIG,
    golden: Golden = None,
    within: Within = None,
    url: RunningUrl = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    temp_dir: TempDir = None,
) -> None:
    """Roll another model into a tier, probe it, and roll back by itself if a probe fails."""
    try:
        folder, run, at = _find(temp_dir, url, key_file, ca_file)
        new = changed_model(run.config, tier, model, path)
        _roll(Running(folder, run, at, golden, within), new)
    except ConfigError as error:
        fail(str(error))
    console.print(f"{tier} is now {model}. To keep it, write into {config}, under {tier}:")
    console.print(f"  model: {model}" + (f"\n  engine.path: {path}" if path else ""))


def apply(
    new: Annotated[Path, typer.Option(help="The edited Serve config file.")],
    old: Annotated[
        Path | None, typer.Option(help="The file that runs now; compared with what does.")
    ] = None,
    golden: Golden = None,
    within: Within = None,
    url: RunningUrl = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    temp_dir: TempDir = None,
) -> None:
    """Run an edited config instead of the one that runs now; back to the old if it fails."""
    try:
        folder, run, at = _find(temp_dir, url, key_file, ca_file)
        if old is not None and _load(old) != run.config:
            console.print(f"{old} is not what runs now; a rollback goes back to what does")
        _check_read_at_start(new, run)
        _roll(Running(folder, run, at, golden, within), _load(new))
    except ConfigError as error:
        fail(str(error))
    console.print(f"{new} runs.")


def _check_read_at_start(config: Path, run: Run) -> None:
    """Raises: `ConfigError` where the file changes what the running endpoint cannot take over."""
    asked = load_serve_file(config).read_at_start
    changed = [key for key, value in run.read_at_start.items() if asked[key] != value]
    if changed:
        raise ConfigError(
            f"{config}: {', '.join(changed)}: needs a new `smallfirst serve`; nothing was changed"
        )


def _load(config: Path) -> AppConfig:
    return effective_config(load_serve_file(config).app, this_machine()).config


def _find(
    temp_dir: Path | None, url: str | None, key_file: Path | None, ca_file: Path | None
) -> tuple[Path, Run, Endpoint]:
    """The cluster to change, and its endpoint, which takes the key."""
    folder = run_folder(temp_dir)
    runs = live_runs(folder)
    at = endpoint(url, key_file, ca_file) if url else None
    run = find_run(runs, at)
    at = at or endpoint(run.url, key_file, ca_file)
    check_key(at)
    return folder, run, at


def _roll(what: Running, new: AppConfig) -> None:
    """Roll the new config out, and write down that it runs."""
    old = what.run.config
    probes = read_golden_set(what.golden)
    tiers = changed_tiers(old, new)
    within_s = what.within_s or deadline_s(old, new)
    rolling = console.status("rolling out")
    logs = what.folder / RAY_FOLDER / what.run.session / "logs"
    with _alone(what), joined_cluster(what.run, logs) as cluster, rolling:
        check_paths(new)
        # As it was and as it shall be, where each finds its place; written down is what was asked.
        before, after, notes = with_place(old, new, cluster.free)
        for note in notes:
            console.print(note, markup=False, soft_wrap=True)
        try:
            roll_out(
                lambda config: cluster.run_app(config, rolling.update, within_s),
                before,
                after,
                lambda: failed_probes(what.at, new, tiers, probes),
            )
        except RolledBack as error:
            rolling.stop()
            console.print(f"rolled back: {error}", markup=False, soft_wrap=True)
            raise typer.Exit(2) from None
        keep(what.folder, what.run.model_copy(update={"config": new}))


@contextmanager
def _alone(what: Running) -> Iterator[None]:
    """One change of a cluster at a time. Raises: `ConfigError` where another one is on its way."""
    try:
        with FileLock(what.folder / f"change-{what.run.mark}.lock", timeout=0):
            yield
    except Timeout:
        raise ConfigError(f"{what.run.url}: another swap or apply is on its way") from None
