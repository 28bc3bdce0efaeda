"""One gateway replica's file of whole lines, which begins anew by size and by day."""

import errno
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

DAY_S = 86_400
# Longer than any line: the last line end of a file that a crash cut is looked for in so much.
TAIL_BYTES = 1 << 16
PATTERN = "ledger-*.jsonl"


class Appended(NamedTuple):
    """How many of the lines are whole in the file, and why not all."""

    lines: int
    error: OSError | None = None


class LedgerFile:
    """Appends lines; a line is in the file whole or not at all.

    Full, or older than its day (UTC), a file is set aside under its time; of all ledger files in
    the folder the oldest are removed until `keep_bytes` hold the rest. The folder may be shared: a
    file that another replica removed while it was idle, or logrotate moved, is made again.
    """

    def __init__(self, folder: Path, replica: str, file_bytes: int, keep_bytes: int) -> None:
        """Raises: `OSError` where the folder cannot be written."""
        self._path = folder / f"ledger-{replica}.jsonl"
        self._file_bytes = file_bytes
        self._keep_bytes = keep_bytes
        self._fd = self._open()

    def append(self, lines: Sequence[bytes], now_s: float) -> Appended:
        """Write lines, each with its line end; what does not fit is cut at a line end."""
        batch = memoryview(b"".join(lines))
        written = 0
        try:
            self._begin_anew_where_due(now_s)
            start = os.fstat(self._fd).st_size
            while written < len(batch):
                count = os.write(self._fd, batch[written:])
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += count
        except OSError as error:
            whole = bytes(batch[:written]).rfind(b"\n") + 1
            if written > whole:
                with suppress(OSError):
                    os.ftruncate(self._fd, start + whole)
            return Appended(bytes(batch[:whole]).count(b"\n"), error)
        return Appended(len(lines))

    def close(self) -> None:
        """End the file."""
        os.close(self._fd)

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        about = os.fstat(fd)
        if stat.S_ISREG(about.st_mode) and about.st_size:
            _cut_to_last_line(fd, about.st_size)
        self._began_s = about.st_mtime if about.st_size else time.time()
        return fd

    def _begin_anew_where_due(self, now_s: float) -> None:
        about = os.fstat(self._fd)
        gone = self._is_gone(about)
        old = now_s // DAY_S > self._began_s // DAY_S
        if about.st_size and not gone and (old or about.st_size >= self._file_bytes):
            self._path.rename(self._aside(now_s))
            gone = True
        if gone:
            fresh = self._open()
            os.close(self._fd)
            self._fd = fresh
            self._remove_oldest()
        if not about.st_size:
            self._began_s = now_s

    def _is_gone(self, about: os.stat_result) -> bool:
        """Whether what we write is no longer under its name: removed, or set aside by others."""
        try:
            return not os.path.samestat(about, self._path.stat())
        except FileNotFoundError:
            return True

    def _aside(self, now_s: float) -> Path:
        at = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_s))
        return self._path.with_name(f"{self._path.stem}.{at}.{time.monotonic_ns()}.jsonl")

    def _remove_oldest(self) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._path.parent.glob(PATTERN):
            with suppress(OSError):
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._keep_bytes:
                return
            if path != self._path:
                path.unlink(missing_ok=True)
                total -= size


def _cut_to_last_line(fd: int, size: int) -> None:
    """Remove the half line that a crash left at the end."""
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(fd, TAIL_BYTES, start)
    if not tail.endswith(b"\n"):
        os.ftruncate(fd, start + tail.rfind(b"\n") + 1)
