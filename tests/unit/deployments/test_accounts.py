"""Accounts of several gateways over one owner: a cap holds through deaths and silences."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deployments.accounting import accounts as accounts_module
from deployments.accounting import books as books_module
from deployments.accounting.owner import SILENT_S
from deployments.accounting.purse import Hold, Need
from deployments.accounting.rate_limits import MINUTE_S, RateLimits
from deployments.accounting.turns import Refused
from deployments.protocol.errors import AccountsUnavailable
from deployments.settings.api_key import ApiKey, Limits
from deployments.store.balances import ALL, HOUR_S, differences
from deployments.store.database import Database, StoreError
from deployments.store.records import GATEWAY_LOST
from tests.accounts import HOUR, NANO, World, capped, finish, key_of, on_clock, record


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # A report at once instead of a quarter of a second later.
    monkeypatch.setattr(accounts_module, "REPORT_EVERY_S", 0.001)
    monkeypatch.setattr(books_module, "BACK_EVERY_S", 0.0)


async def test_of_200_parallel_requests_over_two_gateways_a_cap_for_50_lets_50_through(
    tmp_path: Path,
) -> None:
    key = capped(50_000)
    world = World(tmp_path, key)
    pair = [world.gateway("a"), world.gateway("b")]

    async def one(number: int) -> bool:
        accounts = pair[number % 2]
        hold = await accounts.admit("k1", key, Need(1000, 0))
        if isinstance(hold, Refused):
            assert (hold.lacks, hold.period, hold.cap) == ("usd", "day", 50_000)
            return False
        await asyncio.sleep(0)
        await finish(accounts, hold, 1000, f"r{number}")
        return True

    passed = await asyncio.gather(*map(one, range(200)))
    assert sum(passed) == 50
    await world.close()
    world.restart_owner()
    assert world.run("SELECT COUNT(*), SUM(cost_nano_usd) FROM ledger") == [(50, 50_000)]
    assert world.spent() == 50_000


async def test_most_requests_ask_nobody(tmp_path: Path) -> None:
    key = capped(NANO)
    world = World(tmp_path, key)
    accounts = world.gateway("a")
    turns = 0
    turn = world.owner.turn

    def counted(report: Any) -> Any:
        nonlocal turns
        turns += bool(report.draws)
        return turn(report)

    world.owner.turn = counted  # type: ignore[method-assign]
    for number in range(500):
        hold = await accounts.admit("k1", key, Need(1000, 0))
        assert isinstance(hold, Hold)
        await finish(accounts, hold, 10, f"r{number}")
    assert turns < 20
    await world.close()


async def test_what_was_held_for_nothing_comes_back(tmp_path: Path) -> None:
    key = capped(1000)
    world = World(tmp_path, key)
    accounts = world.gateway("a")
    hold = await accounts.admit("k1", key, Need(1000, 0))
    assert isinstance(hold, Hold)
    assert isinstance(await accounts.admit("k1", key, Need(1, 0)), Refused)
    await finish(accounts, hold, 400, "r")
    other = world.gateway("b")
    for _ in range(100):
        got = await other.admit("k1", key, Need(600, 0))
        if isinstance(got, Hold):
            break
    assert isinstance(got, Hold)
    assert isinstance(await other.admit("k1", key, Need(1, 0)), Refused)
    await finish(other, got, 0, "r2")
    await world.close()


async def test_a_dead_gateways_holds_come_back_and_its_open_requests_are_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = capped(1000)
    world = World(tmp_path, key)
    on_clock(world, monkeypatch)
    dying, other = world.gateway("dying"), world.gateway("other")
    hold = await dying.admit("k1", key, Need(900, 0))
    assert isinstance(hold, Hold)
    world.open["dying"]["r"] = record("r", hour=hold.hour, cost_nano_usd=250)
    world.pass_s(2.0)
    await dying.report()
    world.cut.add("dying")
    assert isinstance(await other.admit("k1", key, Need(200, 0)), Refused)
    world.pass_s(SILENT_S + 1)
    await other.report()
    assert world.run("SELECT outcome, cost_nano_usd FROM ledger") == [(GATEWAY_LOST, 250)]
    assert isinstance(await other.admit("k1", key, Need(750, 0)), Hold)
    assert isinstance(await other.admit("k1", key, Need(1, 0)), Refused)


async def test_a_gateway_that_is_not_heard_stops_using_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = capped(NANO)
    world = World(tmp_path, key)
    on_clock(world, monkeypatch)
    accounts = world.gateway("a")
    assert isinstance(await accounts.admit("k1", key, Need(1000, 0)), Hold)
    world.cut.add("a")
    assert isinstance(await accounts.admit("k1", key, Need(1000, 0)), Hold)
    world.pass_s(SILENT_S - 0.5)
    await accounts.report()
    with pytest.raises(AccountsUnavailable):
        await accounts.admit("k1", key, Need(1000, 0))
    # Who says so goes on, and so does a key whose rates alone are limited.
    for key in (capped(NANO, unaccounted="allow"), key_of(requests_per_minute=1)):
        assert isinstance(await accounts.admit("k1", key, Need(1000, 0)), Hold)
    with pytest.raises(AccountsUnavailable):
        await accounts.admit("k1", key_of(max_parallel=1, unaccounted="refuse"), Need(0, 0))


async def test_more_money_for_a_request_that_runs_is_not_spent_while_nobody_can_grant_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, capped(NANO))
    on_clock(world, monkeypatch)
    accounts = world.gateway("a")
    hold = await accounts.admit("k1", capped(NANO), Need(1000, 0))
    assert isinstance(hold, Hold)
    world.cut.add("a")
    await accounts.report()
    with pytest.raises(AccountsUnavailable):
        await accounts.cover(hold, NANO)
    assert hold.nano_usd == 1000


async def test_a_request_that_a_cap_binds_waits_for_an_owner_that_comes_back(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, capped(1000), real_time=True)
    accounts = world.gateway("a")
    world.cut.add("a")
    await accounts.report()
    asked = asyncio.create_task(accounts.admit("k1", capped(1000), Need(900, 0)))
    await asyncio.sleep(0.5)
    assert not asked.done()
    world.cut.clear()
    assert isinstance(await asked, Hold)
    assert world.spent() == 900
    await world.close()


async def test_an_hour_that_ends_begins_a_new_cap_and_a_running_request_counts_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(usd={"hour": 1000 / NANO})
    world = World(tmp_path, key)
    on_clock(world, monkeypatch)
    accounts = world.gateway("a")
    hold = await accounts.admit("k1", key, Need(1000, 0))
    assert isinstance(hold, Hold)
    assert isinstance(await accounts.admit("k1", key, Need(1, 0)), Refused)
    world.pass_s(HOUR_S)
    second = await accounts.admit("k1", key, Need(1000, 0))
    assert isinstance(second, Hold)
    assert second.hour == hold.hour + HOUR_S
    await finish(accounts, hold, 900, "r1")
    await finish(accounts, second, 800, "r2")
    await accounts.report()
    rows = world.run(
        "SELECT start, settled, held FROM balances WHERE scope='key:k1' AND period='hour'"
    )
    assert sorted(rows) == [(HOUR, 900, 0), (HOUR + HOUR_S, 800, 0)]
    # A clock that is set back meets the cap that it left.
    world.now_s -= HOUR_S
    world.steady_s += HOUR_S
    assert isinstance(await accounts.admit("k1", key, Need(101, 0)), Refused)
    assert isinstance(await accounts.admit("k1", key, Need(100, 0)), Hold)


async def test_more_for_a_running_request_is_held_before_it_is_spent(tmp_path: Path) -> None:
    key = capped(1000)
    world = World(tmp_path, key)
    accounts = world.gateway("a")
    hold = await accounts.admit("k1", key, Need(300, 0))
    assert isinstance(hold, Hold)
    assert await accounts.cover(hold, 1000) is None
    assert isinstance(await accounts.admit("k1", key, Need(1, 0)), Refused)
    assert isinstance(await accounts.cover(hold, 1001), Refused)
    assert await accounts.cover(hold, 100) is None
    other = await accounts.admit("k1", key, Need(900, 0))
    assert isinstance(other, Hold)
    await world.close()


async def test_limits_hold_over_both_gateways(tmp_path: Path) -> None:
    key = key_of(requests_per_minute=10, tokens_per_minute=1000, max_parallel=4)
    world = World(tmp_path, key)
    pair = [world.gateway("a"), world.gateway("b")]
    asked = [await pair[n % 2].admit("k1", key, Need(0, 10)) for n in range(6)]
    holds = [hold for hold in asked if isinstance(hold, Hold)]
    assert len(holds) == 4
    assert [r.lacks for r in asked if isinstance(r, Refused)] == ["parallel"] * 2
    for number, hold in enumerate(holds):
        await finish(pair[number % 2], hold, 0, f"r{number}")
    await asyncio.gather(*(one.report() for one in pair))
    for number in range(6):
        got = await pair[0].admit("k1", key, Need(0, 10))
        assert isinstance(got, Hold)
        await finish(pair[0], got, 0, f"s{number}")
        await pair[0].report()
    last = await pair[1].admit("k1", key, Need(0, 10))
    assert isinstance(last, Refused)
    assert (last.lacks, last.cap) == ("requests", 10)
    assert 0 < last.retry_after_s <= 60
    world.pass_s(60)
    fresh = await pair[1].admit("k1", key, Need(0, 2000))
    assert isinstance(fresh, Hold), "a request above a whole minute's tokens passes alone"
    again = await pair[0].admit("k1", key, Need(0, 1))
    assert isinstance(again, Refused)
    assert again.lacks == "tokens"


async def test_a_key_is_known_and_revoked_with_the_next_report(tmp_path: Path) -> None:
    world = World(tmp_path, key_of())
    accounts = world.gateway("a")
    await accounts.known.wait()
    assert accounts.keys["k1"].ended(0.0) is None
    world.owner.put_key(key_of().model_copy(update={"revoked_s": 1.0}))
    await accounts.report()
    assert accounts.keys["k1"].ended(2.0) == "revoked"


# -- a store that fails -----------------------------------------------------------------------


async def test_while_the_store_fails_requests_go_on_caps_hold_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    key = capped(1000)
    world = World(tmp_path, key)
    accounts = world.gateway("a")
    hold = await accounts.admit("k1", key, Need(600, 0))
    assert isinstance(hold, Hold)
    await finish(accounts, hold, 600, "before")
    await accounts.report()
    world.broken = True
    assert world.owner.books._db is not None
    world.owner.books._db.run("PRAGMA query_only = 1")  # as a disk that became read-only
    during = await accounts.admit("k1", key, Need(300, 0))
    assert isinstance(during, Hold)
    assert isinstance(await accounts.admit("k1", key, Need(200, 0)), Refused)
    assert "read-only" in world.owner.books.trouble or "full" in world.owner.books.trouble
    await finish(accounts, during, 300, "during")
    await accounts.report()
    with pytest.raises(StoreError):
        world.owner.put_key(key_of("k2"))
    # What must not wait is in force, and kept later.
    world.owner.put_key(key.model_copy(update={"revoked_s": 1.0}), at_once=True)
    world.broken = False
    await accounts.report()
    assert world.owner.books.trouble == ""
    assert world.run("SELECT record_id FROM ledger ORDER BY record_id") == [
        ("before",),
        ("during",),
    ]
    assert world.spent() == 900
    assert world.owner.books.keys["k1"].revoked_s == 1.0
    assert isinstance(await accounts.admit("k1", key, Need(200, 0)), Refused)
    await world.close()
    assert world.lost == 0


async def test_a_store_that_cannot_be_opened_is_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(books_module, "WAITING_RECORDS", 3)
    world = World(tmp_path)
    world.broken = True
    world.restart_owner()
    accounts = world.gateway("a")
    for number in range(5):
        hold = await accounts.admit("k1", None, Need(1, 0))
        assert isinstance(hold, Hold)
        await finish(accounts, hold, 1, f"r{number}")
    await accounts.report()
    assert world.lost == 2
    await world.close()
    assert world.lost == 5
    assert "the disk is full" in caplog.text


async def test_a_read_only_store_still_says_who_may_ask(tmp_path: Path) -> None:
    world = World(tmp_path, capped(1000))
    opened = world._store

    def readable(owns: bool) -> Database:
        if owns:
            raise StoreError("read-only")
        return opened(owns)

    world.owner.books._db.close()  # type: ignore[union-attr]
    world._store = readable  # type: ignore[method-assign]
    world.owner = world._owner()
    assert world.owner.books.keys.keys() == {"k1"}


# -- the property -----------------------------------------------------------------------------

CAP = 1000
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 1), st.integers(1, 400)),
        st.tuples(st.just("more"), st.integers(0, 9), st.integers(0, 600)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 100)),
        st.tuples(st.sampled_from(["cut", "deaf", "heal"]), st.integers(0, 1), st.just(0)),
        st.tuples(st.sampled_from(["kill", "report"]), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("owner"), st.just(0), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), st.sampled_from([1, 5, 11])),
    ),
    max_size=40,
)


class Play:
    """Steps of a story; after each, no more is spent and held than the cap."""

    def __init__(self, world: World, key: ApiKey) -> None:
        self.world, self.key = world, key
        self.names = ["g0", "g1"]
        self.accounts = [world.gateway(name) for name in self.names]
        self.running: list[tuple[int, str, Hold]] = []
        self.number = 0

    async def step(self, what: str, which: int, amount: int) -> None:
        act: dict[str, Callable[[int, int], Awaitable[None]]] = {
            "admit": self.admit,
            "more": self.more,
            "settle": self.settle,
            "kill": self.kill,
        }
        if what in act:
            await act[what](which, amount)
        elif what == "owner":
            self.world.restart_owner()
        elif what == "pass":
            await self.passes(amount)
        elif what == "report":
            await self.accounts[which].report()
        else:
            name = self.names[which]
            self.world.cut.discard(name)
            self.world.deaf.discard(name)
            if what != "heal":
                getattr(self.world, what).add(name)
        assert self.world.spent() <= CAP

    async def admit(self, which: int, need: int) -> None:
        accounts = self.accounts[which]
        try:
            hold = await accounts.admit("k1", self.key, Need(need, 0))
        except AccountsUnavailable:
            return
        if isinstance(hold, Hold):
            self.number += 1
            self.running.append((which, f"r{self.number}", hold))

    async def more(self, which: int, nano_usd: int) -> None:
        if self.running:
            at, _, hold = self.running[which % len(self.running)]
            with suppress(AccountsUnavailable):
                if await self.accounts[at].cover(hold, nano_usd) is None:
                    assert hold.nano_usd >= nano_usd

    async def settle(self, which: int, percent: int) -> None:
        if self.running:
            at, name, hold = self.running.pop(which % len(self.running))
            await finish(self.accounts[at], hold, hold.nano_usd * percent // 100, name)

    async def kill(self, which: int, _: int) -> None:
        """The gateway's process dies; another takes its place under a name of its own."""
        tasks = self.accounts[which]._tasks
        assert tasks
        for task in tasks:
            task.cancel()
        self.running = [one for one in self.running if one[0] != which]
        self.names[which] = f"g{len(self.world.gateways)}"
        self.accounts[which] = self.world.gateway(self.names[which])

    async def passes(self, seconds: int) -> None:
        """Gateways that are not cut off report all the while."""
        for _ in range(seconds):
            self.world.pass_s(1.0)
            for accounts in self.accounts:
                await accounts.report()

    async def end(self) -> None:
        self.world.cut.clear()
        self.world.deaf.clear()
        for accounts in self.accounts:
            await accounts.report()
        while self.running:
            await self.settle(0, 100)
        await self.passes(int(SILENT_S) + 2)
        await self.passes(40)
        for accounts in self.accounts:
            await accounts.close()
        balance = self.world.owner.books.work(lambda db: list(differences(db)))
        assert balance == []
        assert self.world.run("SELECT COUNT(*) FROM balances WHERE held <> 0") == [(0,)]
        assert self.world.spent() <= CAP
        assert self.world.spent(ALL) == self.world.spent()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
@example([("admit", 0, 400), ("cut", 0, 0), ("pass", 0, 11), ("admit", 1, 400), ("heal", 0, 0)])
@example([("admit", 0, 400), ("deaf", 0, 0), ("admit", 0, 300), ("owner", 0, 0), ("kill", 0, 0)])
def test_a_cap_holds_through_deaths_and_silences(steps: list[tuple[str, int, int]]) -> None:
    async def play() -> None:
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            key = capped(CAP, unaccounted="refuse")
            world = World(Path(folder), key)
            on_clock(world, patch)
            story = Play(world, key)
            for step in steps:
                await story.step(*step)
            await story.end()
            world.owner.books.close()

    asyncio.run(play())


async def test_nothing_is_lost_where_an_owner_dies_before_its_store_is_back(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, real_time=True)
    accounts = world.gateway("a")
    world.broken = True
    world.restart_owner()
    for name in ("r1", "r2"):
        hold = await accounts.admit("k1", None, Need(1, 0))
        assert isinstance(hold, Hold)
        await finish(accounts, hold, 1, name)
        await accounts.report()
    assert world.owner.books.waiting == 2
    world.broken = False
    world.restart_owner()
    for _ in range(3):
        await accounts.report()
    assert sorted(world.run("SELECT record_id FROM ledger")) == [("r1",), ("r2",)]
    await world.close()


@pytest.mark.parametrize(
    ("times", "admitted"),
    [
        ((60.1, 60.2, 59.9, 60.3, 59.95, 60.4), [60.1]),
        ((60.1, 59.9, 119.9, 120.0, 119.9, 120.1), [60.1, 120.0]),
        # Set back by an hour: the next minute begins two minutes later at most.
        ((7260.0, 3660.0, 3719.9, 3720.0, 3779.9, 3780.0), [7260.0, 3780.0]),
        ((60.0, 61.0, 120.0, 179.0, 180.0), [60.0, 120.0, 180.0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_a_clock_that_steps_back_gives_no_minute_anew(
    times: tuple[float, ...], admitted: list[float], limit: str
) -> None:
    used, limits, passed = RateLimits(), Limits.model_validate({limit: 1}), []
    for now_s in times:
        if short := used.short("k1", limits, 1, now_s):
            assert 0 < short.retry_after_s <= 2 * MINUTE_S
            continue
        assert 0 < used.take("g1", "k1", limits, 1, now_s).minute_s <= MINUTE_S
        passed.append(now_s)
    assert passed == admitted
