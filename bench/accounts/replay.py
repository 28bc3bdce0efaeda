"""Recorded requests, a million by default, booked: the sum of the ledger is every balance.

    python -m bench.accounts.replay

Batches come as gateways send them, a tenth of them twice; the owner dies (its file is opened anew)
every fiftieth batch.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from bench.accounts.report import write
from deployments.store.balances import HOUR_S, differences
from deployments.store.records import Record, book
from deployments.store.schema import migrate
from deployments.store.sqlite import Sqlite

START = 1_795_658_400
BATCH = 2000
LINE = '{"request_id": "r"' + ', "x": 1.25' * 50 + "}"


def made(number: int, chance: random.Random) -> Record:
    """One request of some key, tier and hour."""
    at_s = START + number * 2.6
    small = chance.random() < 0.95
    cost = chance.randrange(1, 5_000_000 if small else 90_000_000)
    return Record(
        record_id=f"{number:032x}",
        request_id="r",
        time_s=at_s,
        hour=int(at_s) // HOUR_S * HOUR_S,
        key_id=f"k{chance.randrange(50)}",
        tenant=f"t{chance.randrange(8)}",
        tier="small" if small else "large",
        model="m",
        cause="classifier",
        outcome="ok",
        prompt_tokens=chance.randrange(2000),
        completion_tokens=chance.randrange(800),
        wasted_tokens=0,
        cost_nano_usd=cost,
        wasted_nano_usd=0,
        gpu_nano_usd=0,
        large_prompt_nano_usd=cost * 10,
        large_completion_nano_usd=cost * 20,
        score_us=900,
        pair_small_tokens=0,
        pair_large_tokens=0,
        line=LINE,
    )


def main() -> None:
    """Book, compare, write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    asked = parser.parse_args()
    chance, told = random.Random(0), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sqlite"
        db = Sqlite(str(path), owns=True)
        migrate(db)
        started_s = time.perf_counter()
        for number, first in enumerate(range(0, asked.records, BATCH)):
            batch = [made(n, chance) for n in range(first, min(first + BATCH, asked.records))]
            told += sum(record.cost_nano_usd for record in batch)
            for _ in range(1 + (number % 10 == 0)):
                with db.transaction():
                    book(db, batch)
            if number % 50 == 49:
                db.close()
                db = Sqlite(str(path), owns=True)
        took_s = time.perf_counter() - started_s
        wrong = list(differences(db))
        count, total = db.run("SELECT COUNT(*), SUM(cost_nano_usd) FROM ledger")[0]
        windows = db.run("SELECT COUNT(*) FROM balances")[0][0]
        size = path.stat().st_size
        db.close()
    assert (count, total, wrong) == (asked.records, told, []), (count, total, wrong[:3])
    write(
        "replay",
        "Recorded requests booked",
        "50 keys over a month; every tenth batch comes twice, every fiftieth the owner is new.",
        [
            "| what | figure |",
            "|---|---|",
            f"| records booked, of {asked.records} | {count} |",
            f"| their cost, of {told} nano-USD | {total} |",
            f"| balances that are not the sum of their records, of {windows} | {len(wrong)} |",
            f"| records a second, one core | {asked.records / took_s:,.0f} |",
            f"| bytes a record in the file | {size / asked.records:,.0f} |",
        ],
    )


if __name__ == "__main__":
    main()
