"""The store: what is booked is booked once, sums are sums, and what fails says what is wrong."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.settings.api_key import Limits, make_key
from deployments.store.balances import (
    ALL,
    HOUR_S,
    CapReachedError,
    Caps,
    differences,
    hold,
    let_go,
    standing,
    windows,
)
from deployments.store.database import Database, OwnedError, StoreError
from deployments.store.key_table import all_keys, put_key
from deployments.store.leases import Lease, grant, leases_of, note_open, reconcile, sweep
from deployments.store.postgres import Postgres
from deployments.store.records import DAY_S, GATEWAY_LOST, book, prune
from deployments.store.schema import STEPS, check_readable, migrate
from deployments.store.sqlite import Sqlite
from tests.accounts import HOUR, record

KEY = "key:k1"


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """A PostgreSQL server of Debian's package, started for these tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip("needs Debian's postgresql package, and root to start it as another user")
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/pgXXXXXX"], text=True).strip())
    shutil.chown(folder, "postgres", "postgres")
    bin_ = found[-1].parent

    def run(*command: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, stdout=-3)

    run(str(bin_ / "initdb"), "-D", f"{folder}/data", "-A", "trust", "-N")
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    run(
        str(bin_ / "pg_ctl"),
        "-D",
        f"{folder}/data",
        "-w",
        "-o",
        options,
        "start",
        "-l",
        "/dev/null",
    )
    try:
        yield f"postgresql:///postgres?host={folder}&user=postgres"
    finally:
        run(str(bin_ / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store in either database."""
    if request.param == "sqlite":
        opened: Database = Sqlite(str(tmp_path / "a.sqlite"), owns=True)
    else:
        opened = Postgres(request.getfixturevalue("postgres_address"), owns=True)
        opened.run("DROP SCHEMA public CASCADE")
        opened.run("CREATE SCHEMA public")
    migrate(opened)
    yield opened
    opened.close()


def caps(**usd: int) -> dict[str, Caps]:
    return {KEY: Caps(**usd), ALL: Caps()}


def test_a_record_is_booked_once_however_often_it_comes(db: Database) -> None:
    one = record(cost_nano_usd=7, prompt_tokens=3, tier="small", line="{}")
    with db.transaction():
        assert book(db, [one, one]) == 1
    with db.transaction():
        assert book(db, [one, record("r2", cost_nano_usd=5)]) == 1
    rows = db.run("SELECT span, SUM(requests), SUM(cost_nano_usd) FROM rollup GROUP BY span")
    assert sorted((span, int(n), int(c)) for span, n, c in rows) == [
        ("day", 2, 12),
        ("minute", 2, 12),
    ]
    for window in windows("k1", HOUR):
        assert standing(db, window, None).settled == 12
    assert list(differences(db)) == []


def test_what_a_lost_gateway_says_after_all_takes_the_place_of_what_was_booked(
    db: Database,
) -> None:
    with db.transaction():
        note_open(db, "g", [record(cost_nano_usd=3)])
        assert sweep(db, "g") == 1
    assert db.run("SELECT outcome, cost_nano_usd FROM ledger") == [(GATEWAY_LOST, 3)]
    with db.transaction():
        assert book(db, [record(cost_nano_usd=9, outcome="ok")]) == 1
        # Nor does a late word of its being lost change anything.
        assert book(db, [record(cost_nano_usd=3, outcome=GATEWAY_LOST)]) == 0
    assert db.run("SELECT outcome, cost_nano_usd FROM ledger") == [("ok", 9)]
    assert standing(db, windows("k1", HOUR)[-1], None).settled == 9
    assert [int(n) for (n,) in db.run("SELECT SUM(requests) FROM rollup")] == [2]
    assert list(differences(db)) == []


def test_a_hold_is_in_every_window_or_in_none(db: Database) -> None:
    hold(db, "k1", HOUR, caps(day=10), 6)
    with pytest.raises(CapReachedError) as full:
        hold(db, "k1", HOUR, caps(day=10), 5)
    assert full.value.standing.window[:2] == (KEY, "day")
    assert full.value.standing.left == 4
    assert {standing(db, window, None).held for window in windows("k1", HOUR)} == {6}
    hold(db, "k1", HOUR, caps(day=10), 4)
    let_go(db, "k1", HOUR, 10)
    assert {standing(db, window, None).held for window in windows("k1", HOUR)} == {0}


def test_a_clock_that_steps_back_finds_the_windows_as_they_were(db: Database) -> None:
    caps = {KEY: Caps(hour=10, day=20)}
    for hour in (HOUR + HOUR_S, HOUR):
        hold(db, "k1", hour, caps, 10)
    for hour in (HOUR, HOUR + HOUR_S, HOUR, HOUR + 2 * HOUR_S):
        with pytest.raises(CapReachedError):
            hold(db, "k1", hour, caps, 1)


def test_the_first_hold_of_a_window_knows_its_cap_too(db: Database) -> None:
    with pytest.raises(CapReachedError):
        hold(db, "k1", HOUR, caps(hour=10), 11)
    assert db.run("SELECT COUNT(*) FROM balances WHERE held <> 0") == [(0,)]


def test_a_lease_runs_ahead_only_while_plenty_is_left(db: Database) -> None:
    leased, left = grant(db, "g", Lease("k1", HOUR, 1), caps(month=100_000))
    assert leased == 1000
    assert left == 99_000
    # A cap for a few requests is not parcelled out.
    assert grant(db, "g", Lease("k2", HOUR, 10), {"key:k2": Caps(day=50), ALL: Caps()})[0] == 10


def test_a_gateway_may_keep_what_it_says_if_it_fits(db: Database) -> None:
    grant(db, "g", Lease("k1", HOUR, 60), caps(day=100))
    assert reconcile(db, "g", [Lease("k1", HOUR, 40)], {"k1": caps(day=100)})[0].nano_usd == 40
    # Swept, or granted by a store that has died since: held again where there is room.
    grant(db, "h", Lease("k1", HOUR, 30), caps(day=100))
    assert reconcile(db, "g", [Lease("k1", HOUR, 70)], {"k1": caps(day=100)})[0].nano_usd == 70
    assert reconcile(db, "g", [Lease("k1", HOUR, 71)], {"k1": caps(day=100)})[0].nano_usd == 70
    assert reconcile(db, "g", [], {}) == []
    assert leases_of(db, "g") == []
    assert standing(db, windows("k1", HOUR)[-1], None).held == 30


@given(st.integers(0, 4_102_444_800))
def test_a_window_holds_its_hour_and_ends_where_the_next_begins(now_s: int) -> None:
    hour = now_s // 3600 * 3600
    for window in windows("k", hour):
        assert window.start <= hour < window.end
        (after,) = {w for w in windows("k", window.end) if w[:2] == window[:2]}
        assert after.start == window.end


def test_old_records_go_and_days_stay(db: Database) -> None:
    with db.transaction():
        book(db, [record("old", time_s=HOUR - 90 * DAY_S), record("new")])
        assert prune(db, HOUR, 30) == 1
    assert db.run("SELECT record_id FROM ledger") == [("new",)]
    spans = db.run("SELECT span, COUNT(*) FROM rollup GROUP BY span ORDER BY span")
    assert spans == [("day", 2), ("minute", 1)]


@pytest.mark.parametrize("days", [5, 30, 90, 200])
def test_what_is_left_of_a_pruned_ledger_still_adds_up(db: Database, days: int) -> None:
    with db.transaction():
        at = [HOUR - ago * 7 * HOUR_S - 5 for ago in range(400)]
        made = [(time_s, time_s // HOUR_S * HOUR_S) for time_s in at]
        book(db, [record(f"r{t}", time_s=t, hour=h, cost_nano_usd=3) for t, h in made])
    assert list(differences(db)) == []
    with db.transaction():
        prune(db, HOUR, days)
    assert list(differences(db)) == []
    # What is kept whole is still held to it.
    db.run("UPDATE ledger SET cost_nano_usd = 4 WHERE record_id = ?", [f"r{at[0]}"])
    assert {window.period for window, *_ in differences(db)} >= {"hour", "day"}


def test_a_long_ledger_is_pruned_a_part_at_a_time(db: Database) -> None:
    with db.transaction():
        old = [record(f"r{n:03}", time_s=HOUR - 90 * DAY_S + 600 * n) for n in range(600)]
        book(db, [*old, record("new")])

    def pruned() -> int:
        with db.transaction():
            return prune(db, HOUR, 30, most=550)

    assert [pruned(), pruned(), pruned()] == [550, 50, 0]
    assert db.run("SELECT record_id FROM ledger") == [("new",)]
    while db.run("SELECT COUNT(*) FROM rollup WHERE span = 'minute'") != [(1,)]:
        before = db.run("SELECT COUNT(*) FROM rollup")
        pruned()
        assert db.run("SELECT COUNT(*) FROM rollup") < before


def test_keys_are_kept_without_their_secrets(db: Database) -> None:
    made = make_key("service", Limits(tenant="acme"), 1.0)
    put_key(db, made.key)
    assert all_keys(db) == {made.key.key_id: made.key}
    (stored,) = db.run("SELECT record FROM api_keys")[0]
    assert made.text not in stored
    assert made.text.split("-", 2)[2] not in stored


# -- versions ---------------------------------------------------------------------------------


def test_a_store_is_brought_to_the_newest_version_or_left_as_it_was(db: Database) -> None:
    with db.transaction():
        book(db, [record()])
    with pytest.raises(StoreError):
        migrate(db, [*STEPS, ["CREATE TABLE more (a BIGINT)", "nonsense"]])
    assert db.run("SELECT version FROM smallfirst_schema") == [(len(STEPS),)]
    migrate(db, [*STEPS, ["CREATE TABLE more (a BIGINT)"]])
    db.run("INSERT INTO more VALUES (1)")
    assert db.run("SELECT COUNT(*) FROM ledger") == [(1,)]


def test_a_store_from_the_future_is_refused_by_name(db: Database) -> None:
    db.run("UPDATE smallfirst_schema SET version = 99")
    for look in (migrate, check_readable):
        with pytest.raises(StoreError, match=r"schema is 99, this release knows \d: update"):
            look(db)
    db.run("UPDATE smallfirst_schema SET version = 1")
    with pytest.raises(StoreError, match=r"schema is 1, this release reads .* up to date"):
        check_readable(db)
    db.run(f"UPDATE smallfirst_schema SET version = {len(STEPS)}")


# -- owners and faults ------------------------------------------------------------------------


def test_a_file_has_one_owner_and_any_readers(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sqlite")
    first = Sqlite(path, owns=True)
    migrate(first)
    with pytest.raises(StoreError, match=rf"process {os.getpid()} on .* owns this file"):
        Sqlite(path, owns=True)
    reader = Sqlite(path, owns=False)
    assert reader.run("SELECT COUNT(*) FROM ledger") == [(0,)]
    with pytest.raises(StoreError, match="read-only"):
        reader.run("DELETE FROM ledger")
    reader.close()
    first.close()
    Sqlite(path, owns=True).close()


@pytest.mark.parametrize("link", ["file", "relative", "folder", "chain"])
def test_a_link_is_the_same_file_and_has_the_same_owner(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    first = Sqlite(str(folder / "a.sqlite"), owns=True)
    migrate(first)
    other = folder / "b.sqlite"
    if link == "folder":
        (tmp_path / "also").symlink_to(folder)
        other = tmp_path / "also" / "a.sqlite"
    else:
        other.symlink_to("a.sqlite" if link == "relative" else folder / "a.sqlite")
        if link == "chain":
            other = tmp_path / "c.sqlite"
            other.symlink_to(folder / "b.sqlite")
    with pytest.raises(OwnedError, match=rf"process {os.getpid()} on .* owns this file"):
        Sqlite(str(other), owns=True)
    reader = Sqlite(str(other), owns=False)
    assert reader.run("SELECT COUNT(*) FROM ledger") == [(0,)]
    reader.close()
    first.close()
    Sqlite(str(other), owns=True).close()


@pytest.mark.parametrize("folder", [".", "other"])
def test_a_file_with_two_names_is_refused_under_both(tmp_path: Path, folder: str) -> None:
    path, other = tmp_path / "a.sqlite", tmp_path / folder / "b.sqlite"
    first = Sqlite(str(path), owns=True)
    migrate(first)
    other.parent.mkdir(exist_ok=True)
    other.hardlink_to(path)
    with pytest.raises(OwnedError, match="hard link"):
        Sqlite(str(other), owns=True)
    first.close()
    with pytest.raises(OwnedError, match="hard link"):
        Sqlite(str(path), owns=True)
    other.unlink()
    Sqlite(str(path), owns=True).close()


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%23b", "a b", "ü", "a&mode=rwc", "a;b"])
def test_a_reader_opens_the_very_file_and_makes_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.sqlite"
    owner = Sqlite(str(path), owns=True)
    migrate(owner)
    owner.close()
    reader = Sqlite(str(path), owns=False)
    assert reader.run("SELECT COUNT(*) FROM ledger") == [(0,)]
    reader.close()
    # Its own, and what SQLite keeps beside it.
    assert all(one.name.startswith(path.name) for one in tmp_path.iterdir())


@pytest.mark.parametrize(("left", "booked"), [(0, 2), (1, None)])
def test_a_copy_whose_log_cannot_be_read_is_refused(
    tmp_path: Path, left: int, booked: int | None
) -> None:
    owner = Sqlite(str(tmp_path / "a.sqlite"), owns=True)
    migrate(owner)
    with owner.transaction():
        book(owner, [record("r1"), record("r2")])
    owner.run("PRAGMA wal_checkpoint(TRUNCATE)")
    with owner.transaction():
        book(owner, [record(f"later{n}") for n in range(left)])
    copy = tmp_path / "copy" / "a.sqlite"
    copy.parent.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{tmp_path / 'a.sqlite'}{end}", f"{copy}{end}")
    owner.close()
    # In its place no index can be made, as in a folder that is read-only.
    Path(f"{copy}-shm").symlink_to(tmp_path / "nowhere" / "shm")
    if booked is None:
        with pytest.raises(StoreError, match=r"a\.sqlite-wal .* copy both"):
            Sqlite(str(copy), owns=False)
        return
    reader = Sqlite(str(copy), owns=False)
    assert reader.run("SELECT COUNT(*) FROM ledger") == [(booked,)]


def test_postgres_has_one_owner(postgres_address: str) -> None:
    first = Postgres(postgres_address, owns=True)
    with pytest.raises(StoreError, match="another process owns"):
        Postgres(postgres_address, owns=True)
    first.close()
    Postgres(postgres_address, owns=True).close()


def test_an_address_with_a_password_is_never_said() -> None:
    with pytest.raises(StoreError) as error:
        Postgres("postgresql://me:secret-4711@127.0.0.1:1/x", owns=True)
    assert "4711" not in str(error.value)


def test_a_full_disk_says_so_and_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    db = Sqlite(str(tmp_path / "a.sqlite"), owns=True)
    migrate(db)
    with db.transaction():
        book(db, [record("kept", cost_nano_usd=1)])
    pages = int(db.run("PRAGMA page_count")[0][0])
    db.run(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="disk is full: make room"), db.transaction():
        book(db, [record(f"r{n}", line="x" * 500) for n in range(100)])
    db.run("PRAGMA max_page_count = 1000000")
    assert db.run("SELECT record_id FROM ledger") == [("kept",)]
    assert list(differences(db)) == []


def test_a_reader_of_a_file_that_is_held_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sqlite")
    owner = Sqlite(path, owns=True)
    migrate(owner)
    owner.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="holds the file locked"):
        Sqlite(path, owns=False)
    other.close()


def test_a_locked_file_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sqlite")
    db = Sqlite(path, owns=True)
    migrate(db)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    db.run("PRAGMA busy_timeout = 1")
    with pytest.raises(StoreError, match="holds the file locked"), db.transaction():
        book(db, [record()])
    other.execute("ROLLBACK")
    other.close()
    with db.transaction():
        assert book(db, [record()]) == 1


@pytest.mark.parametrize(
    ("content", "said"), [(b"not a database at all" * 100, "no SQLite file"), (b"", None)]
)
def test_a_file_that_is_none_of_ours_says_so(
    tmp_path: Path, content: bytes, said: str | None
) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    if said is None:
        migrate(Sqlite(str(path), owns=True))
        return
    with pytest.raises(StoreError, match=said):
        Sqlite(str(path), owns=True)
    # Nothing of it was touched, and nothing stays locked.
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="folder cannot be written"):
        Sqlite(str(tmp_path / "file" / "a.sqlite"), owns=True)
