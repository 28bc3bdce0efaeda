"""Leases: what a gateway holds for the requests to come, so that most of them ask nobody.

A gateway says with every report what it still holds and which requests it has open. One that falls
silent is swept: what it held comes back, and its open requests are booked at what they had cost.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deployments.store.balances import CapReachedError, Caps, hold, let_go
from deployments.store.database import Database
from deployments.store.records import COLUMNS, GATEWAY_LOST, MARKS, Record, book

# A grant may run ahead of the request that asks by this part of the cap, and of what is left:
# large, and a gateway keeps from another what it does not use; small, and each request asks.
SPARE_OF_CAP = 100
SPARE_OF_LEFT = 16


class Lease(NamedTuple):
    """What a gateway holds in the windows of a key and an hour."""

    key_id: str
    hour: int
    nano_usd: int


def grant(db: Database, gateway: str, asked: Lease, caps: Mapping[str, Caps]) -> tuple[int, int]:
    """Lease at least what is asked to a gateway; returns what is leased and what is left.

    Inside a transaction of the caller's. Raises: `CapReachedError`.
    """
    key_id, hour, need = asked
    standings = hold(db, key_id, hour, caps, need)
    spare = min(
        (
            min(s.cap // SPARE_OF_CAP, s.left // SPARE_OF_LEFT)
            for s in standings
            if s.cap is not None
        ),
        default=0,
    )
    # A lease is worth having only where it pays for more than the request that asks.
    spare = max(0, spare - need)
    if spare:
        standings = hold(db, key_id, hour, caps, spare)
    _change(db, gateway, key_id, hour, need + spare)
    return need + spare, min(standing.left for standing in standings)


def reconcile(
    db: Database, gateway: str, said: Sequence[Lease], caps: Mapping[str, Mapping[str, Caps]]
) -> list[Lease]:
    """Make what is leased to a gateway what the gateway says; returns what it may keep.

    Less is given back. More than is known here was granted by a store that has died since, or was
    swept while the gateway could not be heard: it is held again where it fits, else not kept.
    """
    have = {(lease.key_id, lease.hour): lease.nano_usd for lease in leases_of(db, gateway)}
    kept = []
    for lease in said:
        known = have.pop((lease.key_id, lease.hour), 0)
        wanted = max(0, lease.nano_usd)
        if wanted < known:
            let_go(db, lease.key_id, lease.hour, known - wanted)
        elif wanted > known and not _held_again(db, lease, wanted - known, caps[lease.key_id]):
            wanted = known
        _change(db, gateway, lease.key_id, lease.hour, wanted - known)
        kept.append(Lease(lease.key_id, lease.hour, wanted))
    for (key_id, hour), nano_usd in sorted(have.items()):
        let_go(db, key_id, hour, nano_usd)
        _change(db, gateway, key_id, hour, -nano_usd)
    db.run("DELETE FROM leases WHERE gateway = ? AND nano_usd <= 0", [gateway])
    return kept


def leases_of(db: Database, gateway: str) -> list[Lease]:
    """What a gateway holds."""
    rows = db.run(
        "SELECT key_id, hour, nano_usd FROM leases WHERE gateway = ? ORDER BY key_id, hour",
        [gateway],
    )
    return [Lease(*row) for row in rows]


def note_open(db: Database, gateway: str, requests: Sequence[Record]) -> None:
    """Keep which requests a gateway has open, and what they have cost so far."""
    db.run("DELETE FROM open_requests WHERE gateway = ?", [gateway])
    db.many(
        f"INSERT INTO open_requests (gateway, {COLUMNS}) VALUES (?, {MARKS})",
        [[gateway, *request] for request in requests],
    )


def gateways(db: Database) -> set[str]:
    """All that hold a lease or have a request open."""
    rows = db.run("SELECT gateway FROM leases UNION SELECT gateway FROM open_requests")
    return {name for (name,) in rows}


def sweep(db: Database, gateway: str) -> int:
    """Take back what a silent gateway holds, and book its open requests; returns their number."""
    rows = db.run(f"SELECT {COLUMNS} FROM open_requests WHERE gateway = ?", [gateway])
    lost = [Record(*row)._replace(outcome=GATEWAY_LOST) for row in rows]
    book(db, lost)
    reconcile(db, gateway, [], {})
    note_open(db, gateway, [])
    return len(lost)


def _held_again(db: Database, lease: Lease, more: int, caps: Mapping[str, Caps]) -> bool:
    try:
        hold(db, lease.key_id, lease.hour, caps, more)
    except CapReachedError:
        return False
    return True


def _change(db: Database, gateway: str, key_id: str, hour: int, nano_usd: int) -> None:
    db.run(
        """INSERT INTO leases (gateway, key_id, hour, nano_usd) VALUES (?, ?, ?, ?)
        ON CONFLICT (gateway, key_id, hour) DO UPDATE SET
          nano_usd = leases.nano_usd + excluded.nano_usd""",
        [gateway, key_id, hour, nano_usd],
    )
