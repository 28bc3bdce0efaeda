"""The tables, as the steps that made them; a step that was released is never edited."""

from deployments.store.database import Database, StoreError

LEDGER_COLUMNS = """
  record_id TEXT PRIMARY KEY, request_id TEXT NOT NULL,
  time_s DOUBLE PRECISION NOT NULL, hour BIGINT NOT NULL,
  key_id TEXT NOT NULL, tenant TEXT NOT NULL, tier TEXT NOT NULL, model TEXT NOT NULL,
  cause TEXT NOT NULL, outcome TEXT NOT NULL,
  prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, wasted_tokens BIGINT NOT NULL,
  cost_nano_usd BIGINT NOT NULL, wasted_nano_usd BIGINT NOT NULL, gpu_nano_usd BIGINT NOT NULL,
  large_prompt_nano_usd BIGINT NOT NULL, large_completion_nano_usd BIGINT NOT NULL,
  score_us BIGINT NOT NULL, pair_small_tokens BIGINT NOT NULL, pair_large_tokens BIGINT NOT NULL,
  line TEXT NOT NULL
"""
STEPS: list[list[str]] = [
    [
        f"CREATE TABLE ledger ({LEDGER_COLUMNS})",
        "CREATE INDEX ledger_time ON ledger (time_s)",
        # Requests that still ran when their gateway last spoke: what is booked if it never does.
        f"CREATE TABLE open_requests (gateway TEXT NOT NULL, {LEDGER_COLUMNS})",
        """CREATE TABLE rollup (
          span TEXT NOT NULL, start BIGINT NOT NULL, key_id TEXT NOT NULL, tenant TEXT NOT NULL,
          tier TEXT NOT NULL, model TEXT NOT NULL, cause TEXT NOT NULL, outcome TEXT NOT NULL,
          requests BIGINT NOT NULL, prompt_tokens BIGINT NOT NULL,
          completion_tokens BIGINT NOT NULL, wasted_tokens BIGINT NOT NULL,
          cost_nano_usd BIGINT NOT NULL, wasted_nano_usd BIGINT NOT NULL,
          gpu_nano_usd BIGINT NOT NULL, large_prompt_nano_usd BIGINT NOT NULL,
          large_completion_nano_usd BIGINT NOT NULL, score_us BIGINT NOT NULL,
          PRIMARY KEY (span, start, key_id, tenant, tier, model, cause, outcome))""",
        # Requests that both tiers answered: sums from which the ratio of their lengths follows.
        """CREATE TABLE pairs (
          start BIGINT PRIMARY KEY, pairs BIGINT NOT NULL, small BIGINT NOT NULL,
          large BIGINT NOT NULL, small_small BIGINT NOT NULL, large_large BIGINT NOT NULL,
          small_large BIGINT NOT NULL)""",
        # What replicas held, used or idle.
        """CREATE TABLE capacity (
          start BIGINT NOT NULL, tier TEXT NOT NULL, replica_ms BIGINT NOT NULL,
          cost_nano_usd BIGINT NOT NULL, PRIMARY KEY (start, tier))""",
        """CREATE TABLE balances (
          scope TEXT NOT NULL, period TEXT NOT NULL, start BIGINT NOT NULL,
          settled BIGINT NOT NULL, held BIGINT NOT NULL,
          PRIMARY KEY (scope, period, start))""",
        """CREATE TABLE leases (
          gateway TEXT NOT NULL, key_id TEXT NOT NULL, hour BIGINT NOT NULL,
          nano_usd BIGINT NOT NULL, PRIMARY KEY (gateway, key_id, hour))""",
        "CREATE TABLE api_keys (key_id TEXT PRIMARY KEY, record TEXT NOT NULL)",
    ],
    # Records that ended before it were dropped: windows that began before cannot be added up.
    [
        "CREATE TABLE pruned (before_s BIGINT NOT NULL)",
        "INSERT INTO pruned VALUES (0)",
    ],
]


def migrate(db: Database, steps: list[list[str]] = STEPS) -> None:
    """Bring the tables to the newest version, whole or not at all.

    Raises: `StoreError`, also where a later release has written them.
    """
    with db.transaction():
        found = version(db)
        _refuse_later(found, len(steps))
        for step in steps[found:]:
            for statement in step:
                db.run(statement)
        db.run("UPDATE smallfirst_schema SET version = ?", [len(steps)])


def check_readable(db: Database) -> None:
    """Look at the tables of a store that is only read.

    Raises: `StoreError` where they are not there, or of another release.
    """
    try:
        ((found,),) = db.run("SELECT version FROM smallfirst_schema")
    except StoreError as error:
        raise StoreError(f"{error}; are accounts kept there?") from None
    _refuse_later(found, len(STEPS))
    if found < len(STEPS):
        raise StoreError(
            f"an earlier release has written the store: its schema is {found}, this release reads "
            f"{len(STEPS)}: `smallfirst serve` brings it up to date"
        )


def _refuse_later(found: int, known: int) -> None:
    if found > known:
        raise StoreError(
            f"a later release has written the store: its schema is {found}, this release "
            f"knows {known}: update smallfirst, or name another in accounts.store"
        )


def version(db: Database) -> int:
    """The version of the tables that are there; 0: there are none yet."""
    db.run("CREATE TABLE IF NOT EXISTS smallfirst_schema (version BIGINT NOT NULL)")
    rows = db.run("SELECT version FROM smallfirst_schema")
    if not rows:
        db.run("INSERT INTO smallfirst_schema VALUES (0)")
    return int(rows[0][0]) if rows else 0
