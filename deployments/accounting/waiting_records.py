"""Records that are not in the store yet, oldest first; the late ones on disk too.

A gateway reports four times a second, and what is confirmed by then never reaches the disk here.
While the owner is away records wait, and a gateway that dies with them leaves them in its file for
another of its node. What an owner has in its memory alone, because its store fails, waits here too:
if that owner dies, the next one is told. Booking is by record: what comes twice is booked once.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import orjson

from deployments.store.records import Record

log = logging.getLogger("ray.serve")

PER_REPORT = 2000
# About 20 MB, and minutes of a gateway's most.
MOST = 20_000
# Longer than a report takes to come round, so that nothing is written while the owner answers.
LATE_S = 0.4
# How often a gateway looks for files of dead ones; a younger one may not be locked yet.
LOOK_EVERY_S = 10.0
YOUNG_S = 2.0


class WaitingFile:
    """One gateway's file of records, locked while it lives, beside those of others. Blocking."""

    def __init__(self, folder: Path, gateway: str) -> None:
        """Raises: `OSError` where the folder cannot be written."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{gateway.replace('/', '_')}.jsonl"
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def keep(self, records: Iterable[Record]) -> None:
        """Add records. Raises: `OSError`."""
        rest = memoryview(b"".join(orjson.dumps(r._asdict()) + b"\n" for r in records))
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def clear(self) -> None:
        """Forget all of them."""
        os.ftruncate(self._fd, 0)

    def orphans(self) -> list[tuple[Path, list[Record]]]:
        """The files whose gateways are dead, with what they hold."""
        return [
            (path, found)
            for path in self._path.parent.glob("*.jsonl")
            if path != self._path and (found := _unlocked(path)) is not None
        ]

    def close(self, *, left: bool) -> None:
        """End it; `left`: it waits for another gateway."""
        if not left:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


class WaitingRecords:
    """What one gateway has to report."""

    def __init__(self, lost: Callable[[int], None], file: WaitingFile | None = None) -> None:
        """`lost` counts records that are gone for good."""
        self._lost = lost
        self._file = file
        self._records = deque[Record]()
        # Counted since the start: records in the store, those seen a moment ago, those in the file.
        self._confirmed = self._seen = self._kept = 0
        # Of those here, the first ones that this owner has in its memory.
        self._taken, self._owner = 0, ""
        # Files of dead gateways that are read, but whose records the disk here has no room for.
        self._adopted = set[Path]()
        self._full = False

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Keep one that is over."""
        if len(self._records) >= MOST:
            if not self._taken:
                self._lost(1)
                return
            self._forget(1)
        self._records.append(record)

    def first(self) -> list[Record]:
        """Those that go with the next report."""
        return list(islice(self._records, self._taken, self._taken + PER_REPORT))

    def unsaid(self) -> Counter[tuple[str, int]]:
        """What the others cost, nano-USD, by key and hour."""
        sums = Counter[tuple[str, int]]()
        for record in islice(self._records, self._taken + PER_REPORT, None):
            sums[record.key_id, record.hour] += record.cost_nano_usd
        return sums

    def took(self, count: int, owner: str, *, stored: bool) -> None:
        """This owner has taken a report's records; `stored`: all that it ever took is in the store.

        Of what another had in its memory it knows nothing: that goes with the next report again.
        """
        if owner != self._owner:
            self._owner, other_took, self._taken = owner, self._taken, 0
            if other_took:
                return
        self._taken += count
        if stored:
            self._forget(self._taken)

    async def keep_late(self) -> None:
        """Write down what was here a moment ago and still is; clear what is booked."""
        seen, self._seen = self._seen, self._confirmed + len(self._records)
        if self._file is None:
            return
        try:
            if self._kept and self._confirmed >= self._kept:
                self._kept = 0
                await asyncio.to_thread(self._file.clear)
            elif seen > max(self._confirmed, self._kept):
                await self._keep(seen)
            self._full = False
        except OSError as error:
            if not self._full:
                log.error("accounts: waiting records are in memory alone: %s", error.strerror)
            self._full = True

    async def adopt(self) -> None:
        """Take over what dead gateways of this node left."""
        if self._file is None:
            return
        with suppress(OSError):
            for path, records in await asyncio.to_thread(self._file.orphans):
                if path in self._adopted:
                    continue
                self._adopted.add(path)
                if records:
                    log.warning("accounts: %d records of a dead gateway found", len(records))
                for record in records:
                    self.add(record)
                await self._keep(self._confirmed + len(self._records))
                path.unlink(missing_ok=True)
                self._adopted.discard(path)

    async def keep_on(self) -> None:
        """Do both for as long as the gateway lives."""
        while True:
            await self.adopt()
            for _ in range(round(LOOK_EVERY_S / LATE_S)):
                await asyncio.sleep(LATE_S)
                await self.keep_late()

    async def close(self) -> None:
        """End; what is not confirmed stays in the file, or is lost."""
        if self._file is not None:
            with suppress(OSError):
                await self._keep(self._confirmed + len(self._records))
                await asyncio.to_thread(self._file.close, left=bool(self._records))
                return
        # What an owner has taken, it keeps or counts itself.
        if left := len(self._records) - self._taken:
            self._lost(left)

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._records.popleft()
        self._confirmed += count
        self._taken -= count

    async def _keep(self, until: int) -> None:
        assert self._file is not None
        start = max(0, self._kept - self._confirmed)
        late = list(islice(self._records, start, until - self._confirmed))
        if late:
            await asyncio.to_thread(self._file.keep, late)
            self._kept = until


def waiting_file(folder: Path | None, gateway: str) -> WaitingFile | None:
    """The gateway's file, where there is a folder that can be written."""
    if folder is None:
        return None
    try:
        return WaitingFile(folder, gateway)
    except OSError as error:
        log.error("accounts: waiting records are in memory alone: %s: %s", folder, error.strerror)
        return None


def _unlocked(path: Path) -> list[Record] | None:
    """The records of a file that no gateway holds; None: one does, or may, or it is gone."""
    with suppress(OSError), path.open("rb") as file:
        if time.time() - os.fstat(file.fileno()).st_mtime < YOUNG_S:
            return None
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return [record for line in file if (record := _record(line)) is not None]
    return None


def _record(line: bytes) -> Record | None:
    # A torn last line, or one of another release, is none.
    with suppress(orjson.JSONDecodeError, KeyError, TypeError):
        said = orjson.loads(line)
        return Record(**{name: said[name] for name in Record._fields})
    return None
