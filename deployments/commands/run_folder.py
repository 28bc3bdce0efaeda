"""The folder in which clusters of one user run on this machine, and the notes by which `swap` finds
them. Nobody else may enter it: Ray opens its own folders to every user, and who can write there
could have a swap sent to another cluster.
"""

import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import user_id

# In it, Ray's temp folder; short, because socket paths below it may have 107 bytes.
RAY_FOLDER = "r"
# How long the logs of a run are kept.
KEPT_S = 7 * 24 * 3600


class Run(BaseModel):
    """A cluster that `smallfirst serve` runs, and what it deployed there."""

    model_config = ConfigDict(frozen=True)

    mark: str
    """The cluster's own; `/readyz` says it too."""
    url: str
    """Where its endpoint listens."""
    address: str
    """Where Ray's clients find it."""
    session: str
    """Name of Ray's session folder."""
    config: AppConfig
    """What runs there: the file's settings and all that `serve` filled in."""
    read_at_start: dict[str, Any] = {}
    """What the file said that no change of a running cluster takes over, by its place there;
    without what the command line said instead."""


def run_folder(temp_dir: Path | None) -> Path:
    """A folder of this user's alone in `temp_dir`, else in the machine's; made where it is missing.

    Raises: `ConfigError` where somebody else made it.
    """
    parent = temp_dir or Path(tempfile.gettempdir())
    return own_folder(parent / f"smallfirst-{user_id()}")


def own_folder(folder: Path) -> Path:
    """The folder, which nobody else may enter. Raises: `ConfigError` where that cannot be had."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != user_id():
            raise ConfigError(f"{folder} is not a folder of yours: give another with --temp-dir")
        if about.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; give another with --temp-dir") from None
    return folder


@contextmanager
def announced(folder: Path, run: Run) -> Iterator[None]:
    """The run's note in the folder, for as long as this process runs it."""
    with FileLock(_lock(folder, run.mark)):
        keep(folder, run)
        try:
            yield
        finally:
            _drop(folder, run.mark)


def keep(folder: Path, run: Run) -> None:
    """Write the run's note anew, whole or not at all."""
    new = folder / f"run-{run.mark}.new"
    new.touch(mode=0o600)
    new.write_text(run.model_dump_json())
    new.replace(folder / f"run-{run.mark}.json")


def live_runs(folder: Path) -> list[Run]:
    """The runs whose process still holds its lock; the notes of others are dropped."""
    runs = []
    for note in sorted(folder.glob("run-*.json")):
        mark = note.stem.removeprefix("run-")
        try:
            with FileLock(_lock(folder, mark), timeout=0):
                _drop(folder, mark)
        except Timeout:
            with suppress(OSError, ValidationError):
                runs.append(Run.model_validate_json(note.read_text()))
    return runs


def drop_old_sessions(folder: Path) -> None:
    """Drop the logs of runs that ended long ago, by the age of their folder."""
    alive = {run.session for run in live_runs(folder)}
    for session in (folder / RAY_FOLDER).glob("session_*"):
        if session.is_symlink() or session.name in alive:
            continue
        with suppress(FileNotFoundError):
            if time.time() - session.stat().st_mtime > KEPT_S:
                shutil.rmtree(session, ignore_errors=True)


def _lock(folder: Path, mark: str) -> Path:
    return folder / f"run-{mark}.lock"


def _drop(folder: Path, mark: str) -> None:
    for name in (f"run-{mark}.json", f"run-{mark}.lock", f"change-{mark}.lock"):
        (folder / name).unlink(missing_ok=True)
