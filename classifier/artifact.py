"""The folder of a trained classifier: a JSON manifest and the files it vouches for.

Nothing in it can run code: safetensors, ONNX and JSON only. Each file is checked against the
manifest's size and SHA-256 before it is parsed, each array against its shape.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as render_safetensors

from classifier.errors import ArtifactError

#: Version of the folder's layout, and of the text and feature code whose weights it holds.
FORMAT, FEATURES = 1, 1
MANIFEST = "manifest.json"
#: The shipped default lies here.
SHIPPED = Path(__file__).parent / "artifact"
#: A six-layer encoder in float32 is 90 MB; nothing this package writes is larger.
_FILE_BYTES, _MANIFEST_BYTES = 100_000_000, 2_000_000

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Artifact:
    """A verified folder; files are read, checked and parsed on demand."""

    folder: Path
    manifest: Mapping[str, Any]
    artifact_id: str

    def read(self, name: str) -> bytes:
        """Return a file's bytes once its size and SHA-256 match the manifest."""
        entry = self.manifest["files"].get(name)
        if entry is None or Path(name).name != name:
            raise ArtifactError(f"{self.folder}: the manifest lists no file {name!r}; train again")
        path = self.folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != entry["bytes"] or size > _FILE_BYTES:
            raise ArtifactError(f"{path}: {size} bytes, {entry['bytes']} expected; copy it again")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ArtifactError(f"{path}: SHA-256 differs from the manifest; copy it again")
        return content

    def arrays(self, name: str, shapes: Mapping[str, tuple[int | None, ...]]) -> Arrays:
        """Return a safetensors file's arrays; ``None`` in a shape stands for any length."""
        try:
            found: Arrays = parse_safetensors(self.read(name))
        except ArtifactError:
            raise
        except Exception as fault:  # the parser raises its own untyped error classes
            raise ArtifactError(f"{self.folder / name}: not safetensors ({fault})") from None
        for key, shape in shapes.items():
            actual = found[key].shape if key in found else None
            if actual is None or not _fits(actual, shape):
                raise ArtifactError(f"{self.folder / name}: {key} is {actual}, {shape} expected")
            if not np.isfinite(found[key].astype(np.float32)).all():
                raise ArtifactError(f"{self.folder / name}: {key} holds NaN or infinity")
        return found


def _fits(actual: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    pairs = zip(actual, wanted, strict=False)
    return len(actual) == len(wanted) and all(w is None or a == w for a, w in pairs)


def open_artifact(folder: Path) -> Artifact:
    """Return the artefact in ``folder``; raises ``ArtifactError`` if it is not one we can serve."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder}: no {MANIFEST}; give a folder that `train` wrote")
    if path.stat().st_size > _MANIFEST_BYTES:
        raise ArtifactError(f"{path}: larger than {_MANIFEST_BYTES} bytes; not our manifest")
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
        versions = int(manifest["format"]), int(manifest["features"])
        files, rungs = dict(manifest["files"]), dict(manifest["rungs"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as fault:
        raise ArtifactError(f"{path}: not a classifier manifest ({fault!r})") from None
    if versions != (FORMAT, FEATURES):
        raise ArtifactError(
            f"{path}: format and features {versions}, this version reads {(FORMAT, FEATURES)}; "
            "upgrade smallfirst or train again"
        )
    if not files or not rungs:
        raise ArtifactError(f"{path}: lists no files or no model; train again")
    return Artifact(folder, manifest, hashlib.sha256(content).hexdigest()[:12])


def write_artifact(
    folder: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes | Arrays]
) -> str:
    """Write the files and the manifest that vouches for them; return the artefact's id.

    What was in ``folder`` stays usable until all of it is written: a replica may start meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", suffix=".partial", dir=folder) as aside:
        text = _write_all(Path(aside), manifest, files)
        for name in (*sorted(files), MANIFEST):
            (Path(aside) / name).replace(folder / name)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write_all(
    folder: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes | Arrays]
) -> str:
    entries = {}
    for name, content in sorted(files.items()):
        raw = content if isinstance(content, bytes) else render_safetensors(content)
        (folder / name).write_bytes(raw)
        entries[name] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        if not isinstance(content, bytes):
            entries[name]["arrays"] = {k: [str(a.dtype), *a.shape] for k, a in content.items()}
    whole = {"format": FORMAT, "features": FEATURES, **manifest, "files": entries}
    text = json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n"
    (folder / MANIFEST).write_bytes(text.encode())
    return text
