"""The books: the store, and what stands in for it while it fails.

While the store fails, caps are kept in memory from its last known balances, and records wait for
its return, up to `WAITING_RECORDS`. No gateway notices; `trouble` says what is wrong.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from deployments.settings.api_key import ApiKey
from deployments.store.balances import ALL, Caps, windows
from deployments.store.database import Database, StoreError
from deployments.store.key_table import all_keys, put_key
from deployments.store.leases import gateways, leases_of, note_open, reconcile
from deployments.store.records import Record, book
from deployments.store.schema import migrate
from deployments.store.sqlite import MEMORY, Sqlite

log = logging.getLogger("ray.serve")

# About 50 MB.
WAITING_RECORDS = 50_000
BACK_EVERY_S = 2.0
KNOWN_EVERY_S = 5.0
# A record that no reply has confirmed comes again with the next report.
TWICE_S = 60.0
Result = TypeVar("Result")
Balance = tuple[str, str, int, int]


class Books:
    """Runs work on the store in one transaction each; on its stand-in while the store fails."""

    def __init__(
        self,
        open_store: Callable[[bool], Database],
        caps_of: Callable[[str], Mapping[str, Caps]],
        lost: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_store` opens it to own it, or only to read; `lost` counts records gone for good."""
        self._open_store = open_store
        self._caps_of = caps_of
        self._lost = lost
        self._clock = clock
        self._db: Database | None = None
        self._stand_in: Database | None = None
        self._waiting = deque[Record]()
        self._known: list[Balance] = []
        self.keys: dict[str, ApiKey] = {}
        self._known_s = self._tried_s = float("-inf")
        self.trouble = ""
        self._try_store()

    @property
    def waiting(self) -> int:
        """Records that wait for the store."""
        return len(self._waiting)

    def work(self, do: Callable[[Database], Result], records: Sequence[Record] = ()) -> Result:
        """What `do` returns of the store, or of its stand-in; `records` are those that it books."""
        if self._db is None and self._clock() - self._tried_s >= BACK_EVERY_S:
            self._try_store()
        if self._db is not None:
            try:
                with self._db.transaction():
                    result = do(self._db)
                self._look(self._db)
                return result
            except StoreError as error:
                self._fail(error)
        assert self._stand_in is not None
        with self._stand_in.transaction():
            result = do(self._stand_in)
        self._wait(records)
        return result

    def close(self) -> None:
        """End the store; records that still wait for it are lost."""
        if self._db is None and self._waiting:
            self._try_store()
        if self._waiting:
            log.error("accounts: %d records are lost: %s", len(self._waiting), self.trouble)
            self._lost(len(self._waiting))
        if self._db is not None:
            self._db.close()

    def _try_store(self) -> None:
        """Open the store, and hand it what its stand-in has taken meanwhile."""
        self._tried_s = self._clock()
        db: Database | None = None
        try:
            db = self._open_store(True)
            migrate(db)
            with db.transaction():
                self._hand_over(db)
            self.keys = all_keys(db)
        except StoreError as error:
            if db is not None:
                db.close()
            if self._stand_in is None:
                self._read_only()
            self._fail(error)
            return
        if self.trouble:
            log.warning("accounts: the store is back; %d records are kept", len(self._waiting))
        self._waiting.clear()
        self._db, self._stand_in, self.trouble = db, None, ""
        self._look(db)

    def _read_only(self) -> None:
        """Keys and balances of a store that cannot be written."""
        try:
            db = self._open_store(False)
        except StoreError:
            return
        try:
            self.keys = all_keys(db)
            self._look(db)
        except StoreError:
            log.debug("accounts: the store cannot be read either")
        finally:
            db.close()

    def _hand_over(self, db: Database) -> None:
        book(db, list(self._waiting))
        if self._stand_in is None:
            return
        for gateway in gateways(self._stand_in):
            held = leases_of(self._stand_in, gateway)
            caps = {lease.key_id: self._caps_of(lease.key_id) for lease in held}
            reconcile(db, gateway, held, caps)
            note_open(db, gateway, [])
        for key in all_keys(self._stand_in).values():
            put_key(db, key)

    def _look(self, db: Database) -> None:
        """Keep the balances of now in mind, so that caps hold when the store is gone."""
        if self._clock() - self._known_s < KNOWN_EVERY_S:
            return
        self._known_s = self._clock()
        month = windows("", int(time.time() // 3600) * 3600)
        since = min(window.start for window in month if window.scope == ALL)
        self._known = [
            (scope, period, int(start), int(settled))
            for scope, period, start, settled in db.run(
                "SELECT scope, period, start, settled FROM balances WHERE start >= ?", [since]
            )
        ]

    def _fail(self, error: StoreError) -> None:
        if str(error) != self.trouble:
            log.error("accounts: %s; up to %d records wait in memory", error, WAITING_RECORDS)
        self.trouble = str(error)
        if self._db is not None:
            # What it still says is newer than what was looked at; a full disk can be read.
            self._known_s = float("-inf")
            try:
                self._look(self._db)
            except StoreError:
                log.debug("accounts: the balances are those of the last look")
            self._db.close()
            self._db = None
        if self._stand_in is None:
            self._stand_in = _stand_in(self._known)

    def _wait(self, records: Sequence[Record]) -> None:
        assert self._stand_in is not None
        # Its ledger serves only to know a record that comes twice.
        self._stand_in.run("DELETE FROM ledger WHERE time_s < ?", [time.time() - TWICE_S])
        self._waiting.extend(records)
        over = len(self._waiting) - WAITING_RECORDS
        if over > 0:
            self._lost(over)
        for _ in range(over):
            self._waiting.popleft()


def _stand_in(known: list[Balance]) -> Database:
    db = Sqlite(MEMORY, owns=True)
    migrate(db)
    db.many("INSERT INTO balances VALUES (?, ?, ?, ?, 0)", known)
    return db
