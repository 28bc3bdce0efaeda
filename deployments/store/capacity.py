"""What own tiers cost by the hour, used or idle."""

from collections.abc import Mapping

from deployments.store.database import Database
from deployments.store.records import DAY_S


def add_capacity(db: Database, now_s: float, held: Mapping[str, tuple[int, int]]) -> None:
    """Add what each tier's replicas held: milliseconds of replicas, and nano-USD."""
    day = int(now_s) // DAY_S * DAY_S
    db.many(
        """INSERT INTO capacity (start, tier, replica_ms, cost_nano_usd) VALUES (?, ?, ?, ?)
        ON CONFLICT (start, tier) DO UPDATE SET
          replica_ms = capacity.replica_ms + excluded.replica_ms,
          cost_nano_usd = capacity.cost_nano_usd + excluded.cost_nano_usd""",
        [[day, tier, ms, nano_usd] for tier, (ms, nano_usd) in sorted(held.items())],
    )
