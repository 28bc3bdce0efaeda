"""The report over a store: one total, and rows by one thing."""

import re
import time
from datetime import UTC, datetime
from typing import Any

from deployments.accounting.savings import Prices, length_ratio, savings
from deployments.store.database import Database
from deployments.store.reading import capacity, pairs, sums
from deployments.store.records import DAY_S

DAYS = 30


def since_of(text: str | None) -> float | None:
    """A day as `2026-11-01`, or so many days ago as `7d`, in Unix seconds; None: as usual.

    Raises: `ValueError`.
    """
    if text is None:
        return None
    if re.fullmatch(r"\d{1,4}d", text):
        return time.time() - int(text[:-1]) * DAY_S
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ValueError("a day as 2026-11-01, or so many days ago as 7d") from None


def report(
    db: Database, since_s: float | None, by: str | None, prices: Prices, key_id: str | None = None
) -> dict[str, Any]:
    """What was spent and saved since a day (UTC), in all and by one thing, of one key or all.

    Idle GPUs are nobody's in particular: no key's own total has them.
    """
    start = int(time.time() - DAYS * DAY_S if since_s is None else since_s) // DAY_S * DAY_S
    ratio = length_ratio(pairs(db, start))
    held = [] if key_id else capacity(db, start)
    found = {
        "object": "smallfirst.savings",
        "since": _day(start),
        "total": savings(sums(db, start, None, key_id), ratio, held, prices),
    }
    if by is None:
        return found
    rows = sums(db, start, by, key_id)
    groups = dict.fromkeys(one.group for one in rows)
    return {
        **found,
        "by": by,
        "rows": [
            {
                by: _said(by, group),
                **savings([row for row in rows if row.group == group], ratio, [], prices),
            }
            for group in groups
        ],
    }


def _said(by: str, group: str) -> str:
    return _day(int(group)) if by == "day" else group


def _day(start: int) -> str:
    # `strftime` writes years before 1000 without their zeros, and nothing reads them so.
    return datetime.fromtimestamp(start, UTC).date().isoformat()
