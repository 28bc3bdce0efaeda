"""Booking finished requests: the ledger, its sums and the balances, in one transaction."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deployments.store.balances import settle
from deployments.store.database import Database

MINUTE_S = 60
DAY_S = 86_400
# The outcome of a request whose gateway died: what it had cost by then, until somebody knows more.
GATEWAY_LOST = "gateway_lost"
# SQLite takes 32,766 values in a statement; the plan of a short one is also kept.
CHUNK = 500
# Some tenths of a second of the owner's.
PRUNED_AT_ONCE = 5000


class Record(NamedTuple):
    """One request as the store keeps it; '' stands for what nobody decided.

    Costs are nano-USD. `hour` is the hour (Unix seconds) in whose windows the request was admitted.
    """

    # Made by the gateway: two requests of one `request_id`, which clients choose, are two records.
    record_id: str
    request_id: str
    time_s: float
    hour: int
    key_id: str
    tenant: str
    tier: str
    model: str
    cause: str
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    # Of tries whose answer nobody got.
    wasted_tokens: int
    cost_nano_usd: int
    wasted_nano_usd: int
    # The part of the cost that own GPUs' time is.
    gpu_nano_usd: int
    # What the answer's tokens would have cost at the large tier's price.
    large_prompt_nano_usd: int
    large_completion_nano_usd: int
    score_us: int
    # Completion tokens of both tiers, where both answered; else 0 and 0.
    pair_small_tokens: int
    pair_large_tokens: int
    # The JSON line of docs/ledger.md. Never text of the request.
    line: str


COLUMNS = ", ".join(Record._fields)
MARKS = ", ".join("?" * len(Record._fields))
SUMS = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "wasted_tokens",
    "cost_nano_usd",
    "wasted_nano_usd",
    "gpu_nano_usd",
    "large_prompt_nano_usd",
    "large_completion_nano_usd",
    "score_us",
)
_ROLLUP = f"""
INSERT INTO rollup (span, start, key_id, tenant, tier, model, cause, outcome, {", ".join(SUMS)})
VALUES ({", ".join("?" * (8 + len(SUMS)))})
ON CONFLICT (span, start, key_id, tenant, tier, model, cause, outcome)
DO UPDATE SET {", ".join(f"{name} = rollup.{name} + excluded.{name}" for name in SUMS)}"""
_PAIRS = """
INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (start) DO UPDATE SET
  pairs = pairs.pairs + excluded.pairs, small = pairs.small + excluded.small,
  large = pairs.large + excluded.large, small_small = pairs.small_small + excluded.small_small,
  large_large = pairs.large_large + excluded.large_large,
  small_large = pairs.small_large + excluded.small_large"""


def book(db: Database, records: Sequence[Record]) -> int:
    """Book each record that is not booked yet; returns how many were new.

    Called again with the same records it changes nothing. A record that stands for a lost gateway's
    request gives way to what the gateway says of it after all. Inside a transaction of the caller.
    """
    known, lost = set[str](), list[Record]()
    unique = {record.record_id: record for record in records}
    for some in _chunks(list(unique)):
        marks = ", ".join("?" * len(some))
        rows = db.run(f"SELECT record_id, outcome FROM ledger WHERE record_id IN ({marks})", some)
        provisional = [name for name, outcome in rows if outcome == GATEWAY_LOST]
        lost += [found for name in provisional for found in _read(db, name)]
        known.update(name for name, _ in rows)
    better = {r.record_id for r in lost if unique[r.record_id].outcome != GATEWAY_LOST}
    _add(db, [record for record in lost if record.record_id in better], sign=-1)
    db.many("DELETE FROM ledger WHERE record_id = ?", [[name] for name in sorted(better)])
    new = [r for r in unique.values() if r.record_id not in known or r.record_id in better]
    db.many(f"INSERT INTO ledger ({COLUMNS}) VALUES ({MARKS})", new)
    _add(db, new, sign=1)
    return len(new)


def prune(db: Database, now_s: float, ledger_days: int, most: int = PRUNED_AT_ONCE) -> int:
    """Drop what is older than it is kept; returns how many records went, `most` at a time.

    Minutes are for looking at an incident and go with the records; days stay, and with them every
    report. Of the balances those go whose windows have ended, and whose late records have come.
    """
    before = int(now_s) - ledger_days * DAY_S
    old = db.run(
        "SELECT record_id FROM ledger WHERE time_s < ? ORDER BY time_s LIMIT ?", [before, most]
    )
    if old:
        db.run("UPDATE pruned SET before_s = ?", [before])
    for some in _chunks([name for (name,) in old]):
        db.run(f"DELETE FROM ledger WHERE record_id IN ({', '.join('?' * len(some))})", some)
    db.run(
        """DELETE FROM rollup WHERE span = 'minute' AND start < ? AND start <
        (SELECT MIN(start) FROM rollup WHERE span = 'minute') + ?""",
        [before, DAY_S],
    )
    db.run("DELETE FROM balances WHERE held = 0 AND start < ?", [min(before, now_s - 62 * DAY_S)])
    return len(old)


def _read(db: Database, record_id: str) -> list[Record]:
    rows = db.run(f"SELECT {COLUMNS} FROM ledger WHERE record_id = ?", [record_id])
    return [Record(*row) for row in rows]


def _chunks(names: list[str]) -> Iterable[list[str]]:
    return (names[at : at + CHUNK] for at in range(0, len(names), CHUNK))


def _add(db: Database, records: Sequence[Record], sign: int) -> None:
    """Add the records to every sum, or take them out again."""
    sums = dict[tuple[str | int, ...], list[int]]()
    costs = Counter[tuple[str, int]]()
    pairs = dict[int, list[int]]()
    for record in records:
        what = [sign, *(sign * getattr(record, name) for name in SUMS[1:])]
        who = tuple(record[4:10])
        for span, length_s in (("minute", MINUTE_S), ("day", DAY_S)):
            start = int(record.time_s) // length_s * length_s
            held = sums.setdefault((span, start, *who), [0] * len(SUMS))
            held[:] = map(int.__add__, held, what)
        costs[record.key_id, record.hour] += sign * record.cost_nano_usd
        small, large = record.pair_small_tokens, record.pair_large_tokens
        if small or large:
            day = pairs.setdefault(int(record.time_s) // DAY_S * DAY_S, [0] * 6)
            new = (1, small, large, small * small, large * large, small * large)
            day[:] = (have + sign * more for have, more in zip(day, new, strict=True))
    # In one order, so that two writers of one database could not wait for each other.
    db.many(_ROLLUP, [[*who, *what] for who, what in sorted(sums.items())])
    db.many(_PAIRS, [[day, *what] for day, what in sorted(pairs.items())])
    settle(db, costs)
