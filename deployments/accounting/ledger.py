"""The ledger: one JSON line per settled exchange, written beside the event loop."""

import logging
import queue
import threading
import time
from collections.abc import Callable

import orjson

from deployments.accounting.exchange import Exchange
from deployments.accounting.ledger_file import Appended, LedgerFile
from deployments.accounting.ledger_line import ledger_line

log = logging.getLogger("ray.serve")

# Lines that wait for a slow disk: 10 s of a gateway's most, some 8 MB.
WAITING_LINES = 10_000
# Lines in one write, so that a queue is worked off faster than it fills.
LINES_PER_WRITE = 500
CLOSE_S = 5.0


class Ledger:
    """Queues lines for one writer thread: a disk that hangs or is full costs lines, no request."""

    def __init__(self, file: LedgerFile, lost: Callable[[int], None]) -> None:
        """`lost` counts lines that are not in the file; called from either thread."""
        self._file = file
        self._lost = lost
        self._failing = False
        self._waiting: queue.Queue[bytes | None] = queue.Queue(WAITING_LINES)
        self._thread = threading.Thread(target=self._write_all, name="ledger", daemon=True)
        self._thread.start()

    def keep(self, exchange: Exchange) -> None:
        """Queue the exchange's line; never waits."""
        line = orjson.dumps(ledger_line(exchange, time.time())) + b"\n"
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._note_lost(1, "the disk is slower than the traffic")

    def close(self) -> None:
        """Write what waits, for `CLOSE_S` at most, and end the file."""
        try:
            self._waiting.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _write_all(self) -> None:
        closing = False
        while not closing:
            batch = [self._waiting.get()]
            while len(batch) < LINES_PER_WRITE and not self._waiting.empty():
                batch.append(self._waiting.get())
            closing = None in batch
            self._write([line for line in batch if line is not None])
        self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        try:
            done = self._file.append(lines, time.time())
        except Exception as error:  # the thread must outlive whatever this was
            done = Appended(0, OSError(None, type(error).__name__))
        if done.error is None:
            # Not before the queue is empty: a disk that is merely slow is said once, too.
            self._failing = self._failing and not self._waiting.empty()
        else:
            self._note_lost(len(lines) - done.lines, done.error.strerror)

    def _note_lost(self, lines: int, why: str | None) -> None:
        if not self._failing:
            log.warning("ledger: %s; its lines are lost meanwhile", why)
        self._failing = True
        self._lost(lines)
