"""PostgreSQL, for operators who have one: the same statements over psycopg."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from deployments.store.database import OwnedError, Row, StoreError

# Any number that nobody else's advisory lock has.
OWNER = 0x536D616C6C
CONNECT_S = 5
# A statement that waits longer waits for a lock of somebody else's.
STATEMENT_MS = 5000


class Postgres:
    """A connection to one database; `owns` its tables where it may write."""

    def __init__(self, address: str, *, owns: bool) -> None:
        """`address` is a `postgresql://` URL. Raises: `StoreError`, also where another owns it."""
        with _said():
            self._db = psycopg.connect(
                address,
                autocommit=True,
                connect_timeout=CONNECT_S,
                options=f"-c statement_timeout={STATEMENT_MS if owns else 0}",
            )
        if owns and not self.run("SELECT pg_try_advisory_lock(?)", [OWNER])[0][0]:
            self.close()
            raise OwnedError(
                "PostgreSQL: another process owns these accounts: end it, or name another database"
            )
        if not owns:
            self.run("SET default_transaction_read_only = on")

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; returns its rows."""
        with _said():
            cursor = self._db.execute(_worded(sql), values)
            return cursor.fetchall() if cursor.description else []

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""
        with _said(), self._db.cursor() as cursor:
            cursor.executemany(_worded(sql), rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what runs inside, or nothing of it where it raises."""
        with _said(), self._db.transaction():
            yield

    def close(self) -> None:
        """End the connection; what was committed stays."""
        with suppress(psycopg.Error):
            self._db.close()


def _worded(sql: str) -> str:
    return sql.replace("?", "%s")


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # Never the message: it may repeat the address with its password, or a row.
        state = error.sqlstate or "no answer"
        raise StoreError(
            f"PostgreSQL: {type(error).__name__} ({state}): see the server, its log and disk"
        ) from None
