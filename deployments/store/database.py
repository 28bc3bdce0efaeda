"""The two databases behind one face, and the one error that either raises.

SQL is written once, in what SQLite 3.35 and PostgreSQL have in common, with `?` for a value.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[Any, ...]


class StoreError(Exception):
    """The store cannot do what was asked: one line that says what is wrong and how to mend it."""


class OwnedError(StoreError):
    """Another process owns the store, or could under another name of it."""


class Database(Protocol):
    """A connection that one thread uses at a time. Every call raises `StoreError`."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; returns its rows."""

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values."""

    def transaction(self) -> AbstractContextManager[None]:
        """All of what runs inside, or nothing of it where it raises."""

    def close(self) -> None:
        """End the connection; what was committed stays."""
