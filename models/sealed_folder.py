"""Folders that are either complete or absent: written aside, sealed with checksums, then renamed.

A sealed folder holds a `manifest.json` with the size, modification time and sha256 of every other
file in it, and facts about where it came from.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

MANIFEST = "manifest.json"


def sha256_of(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write the manifest; the folder's files must not change afterwards."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        status = path.stat()
        files[str(path.relative_to(folder))] = {
            "bytes": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "sha256": sha256_of(path),
        }
    (folder / MANIFEST).write_text(json.dumps(facts | {"files": files}, indent=2) + "\n")


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """The folder's manifest; None if there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def is_intact(folder: Path) -> bool:
    """Whether every sealed file is there unchanged.

    Size and modification time decide; a file with the right size and another time (a copy, a
    restored backup, a tampered file) is hashed.
    """
    files = (manifest_of(folder) or {}).get("files")
    return isinstance(files, dict) and all(
        _matches(folder / name, sealed) for name, sealed in files.items()
    )


def _matches(path: Path, sealed: dict[str, Any]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != sealed.get("bytes"):
        return False
    return status.st_mtime_ns == sealed.get("mtime_ns") or sha256_of(path) == sealed.get("sha256")


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends without an error.

    What is at `target` stays usable until then. On an error, Ctrl-C included, the new folder is
    removed and `target` is as before.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        yield aside
        aside.chmod(0o755)  # mkdtemp's 0700 would hide a shared cache from other users
        if target.exists():
            retired = aside.with_suffix(".retired")
            target.rename(retired)
            aside.rename(target)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(target: Path) -> None:
    """Delete what killed writers of `target` left beside it; call only while no writer runs."""
    for suffix in ("partial", "retired"):
        for leftover in target.parent.glob(f".{target.name}.*.{suffix}"):
            shutil.rmtree(leftover, ignore_errors=True)
