"""What is read of the store: records for an export, sums for a report. Changes nothing."""

from collections.abc import Iterator
from typing import NamedTuple

from deployments.store.database import Database
from deployments.store.records import SUMS

PAGE = 1000
# What a report may be by, and the column of it.
BY = {"key": "key_id", "tenant": "tenant", "model": "model", "day": "start"}


class Sums(NamedTuple):
    """The sums of some requests; tokens are those of the answers, costs are nano-USD."""

    group: str
    tier: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    wasted_tokens: int
    cost_nano_usd: int
    wasted_nano_usd: int
    gpu_nano_usd: int
    large_prompt_nano_usd: int
    large_completion_nano_usd: int
    score_us: int


class Pairs(NamedTuple):
    """Sums over requests that both tiers answered, of their lengths in tokens."""

    pairs: int
    small: int
    large: int
    small_small: int
    large_large: int
    small_large: int


class Capacity(NamedTuple):
    """What a tier's own replicas held, used or idle."""

    tier: str
    replica_ms: int
    cost_nano_usd: int


def lines(db: Database, since_s: float, until_s: float) -> Iterator[str]:
    """The JSON line of each record of a time, oldest first; a page at a time."""
    after = (since_s, "")
    while True:
        found = db.run(
            """SELECT time_s, record_id, line FROM ledger
            WHERE (time_s > ? OR (time_s = ? AND record_id > ?)) AND time_s < ?
            ORDER BY time_s, record_id LIMIT ?""",
            [after[0], *after, until_s, PAGE],
        )
        yield from (line for _, _, line in found)
        if len(found) < PAGE:
            return
        after = (found[-1][0], found[-1][1])


def sums(db: Database, since: int, by: str | None, key_id: str | None = None) -> list[Sums]:
    """The sums of whole days from `since` on, by tier and by one more thing, of one key or all."""
    column = f"CAST({BY[by]} AS TEXT)" if by else "''"
    added = ", ".join(f"SUM({name})" for name in SUMS)
    whose, values = (" AND key_id = ?", [since, key_id]) if key_id is not None else ("", [since])
    found = db.run(
        f"""SELECT {column} AS thing, tier, {added} FROM rollup
        WHERE span = 'day' AND start >= ?{whose} GROUP BY thing, tier ORDER BY thing, tier""",
        values,
    )
    return [Sums(row[0], row[1], *map(int, row[2:])) for row in found]


def pairs(db: Database, since: int) -> Pairs:
    """Requests that both tiers answered, from a day on."""
    (row,) = db.run(
        """SELECT SUM(pairs), SUM(small), SUM(large), SUM(small_small), SUM(large_large),
        SUM(small_large) FROM pairs WHERE start >= ?""",
        [since],
    )
    return Pairs(*(int(value or 0) for value in row))


def capacity(db: Database, since: int) -> list[Capacity]:
    """What own replicas held, from a day on."""
    found = db.run(
        """SELECT tier, SUM(replica_ms), SUM(cost_nano_usd) FROM capacity WHERE start >= ?
        GROUP BY tier ORDER BY tier""",
        [since],
    )
    return [Capacity(tier, int(ms), int(cost)) for tier, ms, cost in found]
