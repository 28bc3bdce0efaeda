"""Balances: what is settled and held in each hour, day and month, of each key and in all.

A cap holds because one statement looks and adds: `settled + held + more <= cap`. All amounts are
nano-USD; windows are UTC's, named by their start in Unix seconds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from deployments.store.database import Database

HOUR_S = 3600
ALL = "all"
# More than anybody has: a window without a cap.
NO_CAP = 2**62


class Caps(NamedTuple):
    """The most that may be spent in a window, nano-USD; None: no cap."""

    hour: int | None = None
    day: int | None = None
    month: int | None = None

    def __bool__(self) -> bool:
        return any(cap is not None for cap in self)


class Window(NamedTuple):
    """One window of one scope: a key, or `ALL`."""

    scope: str
    period: str
    start: int

    @property
    def end(self) -> int:
        """When the window is over, Unix seconds."""
        if self.period == "hour":
            return self.start + HOUR_S
        begun = datetime.fromtimestamp(self.start, UTC)
        if self.period == "day":
            return self.start + 24 * HOUR_S
        return int((begun + timedelta(days=32)).replace(day=1).timestamp())


class Standing(NamedTuple):
    """What a window has settled and held, beside its cap."""

    window: Window
    cap: int | None
    settled: int
    held: int

    @property
    def left(self) -> int:
        """What may still be held; `NO_CAP` where there is no cap."""
        return NO_CAP if self.cap is None else self.cap - self.settled - self.held


class CapReachedError(Exception):
    """A window has no room for what was asked."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing)
        self.standing = standing


def hour_of(now_s: float) -> int:
    """The start of the hour that a time is in."""
    return int(now_s // HOUR_S) * HOUR_S


def windows(key_id: str, hour: int) -> list[Window]:
    """The windows that an hour is in, of a key and in all, in the order in which they are taken."""
    at = datetime.fromtimestamp(hour, UTC)
    day = at.replace(hour=0)
    starts = {"day": day, "hour": at, "month": day.replace(day=1)}
    return [
        Window(scope, period, int(start.timestamp()))
        for scope in sorted({ALL, f"key:{key_id}"})
        for period, start in starts.items()
    ]


_HOLD = """
INSERT INTO balances (scope, period, start, settled, held)
SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), 0, CAST(? AS BIGINT)
WHERE CAST(? AS BIGINT) <= CAST(? AS BIGINT)
ON CONFLICT (scope, period, start) DO UPDATE SET held = balances.held + excluded.held
WHERE balances.settled + balances.held + excluded.held <= CAST(? AS BIGINT)
RETURNING settled, held"""
_MOVE = """
INSERT INTO balances (scope, period, start, settled, held) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope, period, start) DO UPDATE SET
  settled = balances.settled + excluded.settled, held = balances.held + excluded.held"""


def hold(
    db: Database, key_id: str, hour: int, caps: Mapping[str, Caps], nano_usd: int
) -> list[Standing]:
    """Hold an amount in every window of a key and in all, or in none.

    `caps` are those of the key's scope and of `ALL`. Inside a transaction of the caller's.
    Raises: `CapReachedError` with the window that has no room.
    """
    standings = list[Standing]()
    for window in windows(key_id, hour):
        cap: int | None = getattr(caps.get(window.scope, Caps()), window.period)
        most = NO_CAP if cap is None else cap
        values = [*window, nano_usd, nano_usd, most, most]
        rows = db.run(_HOLD, values)
        if not rows:
            db.many(_MOVE, [[*taken.window, 0, -nano_usd] for taken in standings])
            raise CapReachedError(standing(db, window, cap))
        standings.append(Standing(window, cap, *rows[0]))
    return standings


def standing(db: Database, window: Window, cap: int | None) -> Standing:
    """What a window has settled and held now."""
    rows = db.run(
        "SELECT settled, held FROM balances WHERE scope = ? AND period = ? AND start = ?", window
    )
    return Standing(window, cap, *(rows[0] if rows else (0, 0)))


def let_go(db: Database, key_id: str, hour: int, nano_usd: int) -> None:
    """Give back a part of what is held."""
    db.many(_MOVE, [[*window, 0, -nano_usd] for window in windows(key_id, hour)])


def settle(db: Database, costs: Mapping[tuple[str, int], int]) -> None:
    """Add what requests cost, by key and hour; what was held for them goes by `let_go`."""
    sums = Counter[Window]()
    for (key_id, hour), nano_usd in costs.items():
        for window in windows(key_id, hour):
            sums[window] += nano_usd
    db.many(_MOVE, [[*window, nano_usd, 0] for window, nano_usd in sorted(sums.items())])


def differences(db: Database) -> Iterator[tuple[Window, int, int]]:
    """Windows whose balance is not the sum of the ledger's records: window, balance, sum.

    Of windows that began before the oldest record that is kept, nobody can tell any more.
    """
    ((reaches_back_s,),) = db.run("SELECT before_s FROM pruned")
    sums = Counter[Window]()
    ledger = db.run("SELECT key_id, hour, SUM(cost_nano_usd) FROM ledger GROUP BY key_id, hour")
    for key_id, hour, nano_usd in ledger:
        for window in windows(key_id, hour):
            sums[window] += int(nano_usd)
    kept = {
        Window(scope, period, start): settled
        for scope, period, start, settled in db.run(
            "SELECT scope, period, start, settled FROM balances"
        )
    }
    for window in sorted(sums.keys() | kept.keys()):
        if window.start >= reaches_back_s and sums[window] != kept.get(window, 0):
            yield window, kept.get(window, 0), sums[window]
