"""SQLite: one file in WAL mode, which one process owns."""

import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from deployments.store.database import OwnedError, Row, StoreError

# A backup or a reader may hold the file for a moment; a request never waits for it.
BUSY_MS = 2000
MEMORY = ":memory:"
# By SQLite's name of the error: what an operator can do.
MENDS = {
    "SQLITE_FULL": "the disk is full: make room, or set accounts.ledger_days lower",
    "SQLITE_READONLY": "the file or its folder is read-only: give the server's user the right",
    "SQLITE_CANTOPEN": "the file cannot be opened: give the server's user the folder",
    "SQLITE_BUSY": "another program holds the file locked: end it",
    "SQLITE_LOCKED": "another program holds the file locked: end it",
    "SQLITE_NOTADB": "this is no SQLite file: name another in accounts.store",
    "SQLITE_CORRUPT": "the file is damaged: put the last backup in its place",
    "SQLITE_IOERR": "the disk fails: see the machine's log",
}
# WAL wants to make its index beside the file, which a read-only folder does not let it.
NO_INDEX = ("SQLITE_CANTOPEN", "SQLITE_READONLY")


class Sqlite:
    """A connection to one file; `owns` it where it may write."""

    def __init__(self, path: str, *, owns: bool) -> None:
        """Raises: `StoreError`, also where another process owns the file."""
        if path != MEMORY:
            # A link is another name of the same file, which has one owner and one log beside it.
            path = os.path.realpath(path)
        self._path = path
        self._lock = _owned(path) if owns and path != MEMORY else None
        try:
            with self._said():
                self._db = _connected(path) if owns else _reading(path)
        except StoreError:
            self._unlock()
            raise

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; returns its rows."""
        with self._said():
            return self._db.execute(sql, values).fetchall()

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""
        with self._said():
            self._db.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what runs inside, or nothing of it where it raises."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(StoreError):  # a full disk has rolled back by itself
                self.run("ROLLBACK")
            raise

    def close(self) -> None:
        """End the connection; what was committed stays."""
        with suppress(sqlite3.Error):
            self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            # Extended names carry the basic one in front: `SQLITE_READONLY_DIRECTORY`.
            mend = next((mend for key, mend in MENDS.items() if name.startswith(key)), str(error))
            raise StoreError(f"{self._path}: {mend}") from None


def _connected(path: str, *, uri: bool = False) -> sqlite3.Connection:
    db = sqlite3.connect(
        path,
        uri=uri,
        timeout=BUSY_MS / 1e3,
        isolation_level=None,
        check_same_thread=False,
    )
    if not uri:
        # FULL: what a gateway was told is kept survives the machine.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
    return db


def _reading(path: str) -> sqlite3.Connection:
    uri = f"{Path(path).as_uri()}?mode=ro"
    db = _connected(uri, uri=True)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        db.close()
        if not error.sqlite_errorname.startswith(NO_INDEX):
            raise
        log = Path(f"{path}-wal")
        if log.is_file() and log.stat().st_size:
            raise StoreError(
                f"{path}: {log.name} beside it holds records that cannot be read here: copy both "
                "to a folder that you may write, and name the copy"
            ) from None
        db = _connected(f"{uri}&immutable=1", uri=True)
    return db


def _owned(path: str) -> FileLock:
    """The lock that says whose the file is; it ends with the process, however that ends."""
    note, lock = Path(f"{path}.owner"), FileLock(f"{path}.lock")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        owner = note.read_text() if note.is_file() else "another process"
        raise OwnedError(
            f"{path}: {owner} owns this file: end it, or name another in accounts.store"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: the folder cannot be written: {error.strerror}") from None
    if (file := Path(path)).is_file() and file.stat().st_nlink > 1:
        lock.release()
        # Under its other name it could have another owner, and another log of what it holds.
        raise OwnedError(
            f"{path}: this file has a second name (a hard link): remove that one, or copy the file"
        )
    with suppress(OSError):
        note.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    return lock
