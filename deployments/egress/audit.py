"""The audit log: a line for whatever is about to leave, written before it does.

A process has a file of its own, because a chain has one writer. Beside it stands its head (count
and hash, signed where there is a key), without which lines taken from the end would not be missed;
its first line says which file of whom it is, without which renamed files would not be.
"""

import hashlib
import hmac
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployments.egress.chain import Broken, Link, held, link_of, verified
from deployments.privacy.releasable import Releasable
from deployments.protocol.errors import TierUnavailable
from deployments.settings.config_mistake import ConfigError

log = logging.getLogger(__name__)

NAME = "egress-*.jsonl"
# A file ends at this size, so that it can be read, kept and verified by itself; the next one says
# in its first line where this one stood.
MAX_FILE_BYTES = 64 * 2**20


class AuditLog:
    """Appends to a file of this process in `folder`; not thread-safe."""

    def __init__(self, folder: Path, key: bytes | None) -> None:
        """Raises: `ConfigError` where the folder cannot be written."""
        self._folder, self._key = folder, key
        self._writer = uuid.uuid4().hex[:12]
        self._files = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._begin(Link())
        except OSError as error:
            raise ConfigError(f"privacy.audit_dir: {folder}: {error.strerror}") from None

    def write(self, leaving: Releasable) -> None:
        """Note what is about to leave. Raises: `TierUnavailable` where that cannot be noted."""
        try:
            if self._file.tell() > MAX_FILE_BYTES:
                before = self._link
                self.close()
                self._begin(before)
            self._append(
                {
                    "time_s": round(time.time(), 3),
                    "request_id": leaving.request_id,
                    "to": leaving.destination.url,
                    "why": leaving.why,
                    "kinds": dict(leaving.kinds),
                    "bytes": len(leaving.content),
                    "content": self._hash_of(leaving.content),
                }
            )
        except (OSError, ValueError) as error:
            log.error("audit log: %s; nothing leaves the cluster", type(error).__name__)
            raise TierUnavailable("What leaves the cluster cannot be recorded now.") from None

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        self._head.close()

    def _begin(self, before: Link) -> None:
        name, number = f"egress-{self._writer}-{self._files:06}", self._files
        self._files += 1
        # Its own file, and nobody else's: what is there already stays as it is.
        self._file = (self._folder / f"{name}.jsonl").open("xb", buffering=0)
        self._head = (self._folder / f"{name}.head").open("xb", buffering=0)
        self._link = Link()
        self._append(
            {
                "time_s": round(time.time(), 3),
                "writer": self._writer,
                "file": number,
                "follows": [before.count, before.hash],
            }
        )

    def _append(self, record: dict[str, Any]) -> None:
        line, link = self._link.next(record, self._key)
        data = line.encode() + b"\n"
        at = self._file.tell()
        try:
            if self._file.write(data) != len(data):
                raise OSError("no room")
        except OSError:  # half a line would break the chain
            self._file.truncate(at)
            self._file.seek(at)
            raise
        self._link = link
        os.pwrite(self._head.fileno(), f"{link.head(self._key)}\n".encode(), 0)

    def _hash_of(self, content: bytes) -> str:
        """With the key, where there is one: a short text could be guessed from its plain hash."""
        if self._key is None:
            return hashlib.sha256(content).hexdigest()
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()


def problems(folder: Path, key: bytes | None) -> Iterator[tuple[str, str]]:
    """Name of a file and what is wrong with it, for every file of a folder's logs that is wrong."""
    ends: dict[tuple[str, int], Link] = {}
    for path in sorted(folder.glob(NAME), key=lambda path: (len(path.name), path.name)):
        try:
            writer, number = _named(path)
            first, ends[writer, number] = _ends_of(path, key)
            _stands_in_place(first, writer, number, ends)
        except (Broken, OSError, UnicodeDecodeError) as error:
            yield path.name, str(error)
    for head in sorted(folder.glob("egress-*.head")):
        if not head.with_suffix(".jsonl").exists():
            yield head.with_suffix(".jsonl").name, "is gone; its head is still there"


def _named(path: Path) -> tuple[str, int]:
    """Writer and number of a file, by its name. Raises: `Broken`."""
    said = re.fullmatch(r"egress-([0-9a-f]{12})-(\d{6,})", path.stem)
    if said is None or f"{int(said[2]):06}" != said[2]:
        raise Broken("is not named as a log is: move copies and notes to another folder")
    return said[1], int(said[2])


def _ends_of(path: Path, key: bytes | None) -> tuple[dict[str, Any], Link]:
    """A file's first record, and where its chain ends. Raises: `Broken`."""
    before = _head(path)
    text = path.read_bytes().decode()
    if not text.endswith("\n"):
        raise Broken("the last line is cut")
    lines = text.split("\n")[:-1]
    end = verified(lines, key)
    first = json.loads(lines[0])
    # Earlier releases wrote neither: the chain itself says which release it is of.
    seal = key if "writer" in first else None
    held(lines, link_of(before, seal), link_of(_head(path), seal))
    return first, end


def _head(path: Path) -> str:
    try:
        return path.with_suffix(".head").read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _stands_in_place(
    first: dict[str, Any], writer: str, number: int, ends: dict[tuple[str, int], Link]
) -> None:
    """Hold a file to its name, and to the one that its process wrote before. Raises: `Broken`."""
    if (first.get("writer", writer), first.get("file", number)) != (writer, number):
        raise Broken(f"was file {first.get('file')!s:.20} of {first.get('writer')!s:.20}: renamed")
    before = f"egress-{writer}-{number - 1:06}.jsonl"
    end = ends.get((writer, number - 1)) if number else Link()
    if end is None:
        raise Broken(f"{before}, which it follows, is missing or broken")
    if first.get("follows") != [end.count, end.hash]:
        place = f"does not follow the end of {before}" if number else "is not the first of its log"
        raise Broken(f"{place}: files are missing or renamed")
