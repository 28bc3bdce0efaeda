"""Gateways that share a board agree, whatever is late, lost or said twice."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.replicas import board as boards
from deployments.replicas.board import Board
from deployments.replicas.board_client import BoardClient
from deployments.routing.budget import Budget
from deployments.routing.killers import DEATHS
from deployments.routing.sessions import Binding
from deployments.routing.shared_state import LocalState
from deployments.routing.sharing import LIVE_S, MOST_KNOWN, Said, remember
from deployments.settings.app import AppConfig
from deployments.settings.escalation import Escalation

LARGE = Binding("large", "law")


class Call:
    """What a handle's `remote` gives."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        return self._answer.__await__()

    def cancel(self) -> None:
        pass


class Handle:
    """A handle to a board in this process; away where there is none."""

    def __init__(self, board: Board | None = None) -> None:
        self.board = board
        self.lost_answers = 0

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self, asked: dict[str, Any]) -> Call:
        return Call(self._answer(asked))

    async def _answer(self, asked: dict[str, Any]) -> Any:
        if self.board is None:
            raise ConnectionError
        answer = await self.board.exchange(asked)
        if self.lost_answers:
            self.lost_answers -= 1
            raise TimeoutError
        return answer


class Gateway:
    """A gateway's state, and its exchange with the board."""

    def __init__(self, name: str, handle: Handle, **budget: Any) -> None:
        config = AppConfig(escalation=Escalation(**budget))
        self.state = LocalState(config)
        self.client = BoardClient(handle, name, self.state)


async def exchange(*gateways: Gateway, times: int = 2) -> None:
    for _ in range(times):
        for gateway in gateways:
            await gateway.client.exchange()


async def test_what_one_gateway_knows_the_others_know_after_an_exchange() -> None:
    handle = Handle(Board())
    a, b = Gateway("a", handle), Gateway("b", handle)
    await exchange(a, b)
    at_s = now_s()
    a.state.bind(b"session", LARGE, at_s)
    a.state.engine_died([b"print"], DEATHS, at_s)
    assert not b.state.has_seen_deaths
    await exchange(a, b, times=1)
    assert b.state.bound(b"session", at_s) == LARGE
    assert b.state.refused_s([b"print"], at_s) == pytest.approx(60, abs=1)
    b.state.bind(b"session", None, at_s + 1)
    await exchange(b, a, times=1)
    assert a.state.bound(b"session", at_s + 1) is None


async def test_deaths_seen_by_two_gateways_count_together() -> None:
    handle = Handle(Board())
    a, b = Gateway("a", handle), Gateway("b", handle)
    a.state.engine_died([b"print"], 1, now_s())
    await exchange(a, b)
    b.state.engine_died([b"print"], 1, now_s())
    await exchange(b, a)
    assert a.state.refused_s([b"print"], now_s()) > 0


async def test_a_redeploy_forgets_nothing() -> None:
    """The new gateway comes while the old one, or only the board, is there."""
    handle = Handle(Board())
    old = Gateway("old", handle)
    old.state.bind(b"session", LARGE, now_s())
    old.state.engine_died([b"print"], DEATHS, now_s())
    await exchange(old)
    new = Gateway("new", handle)
    await exchange(new, times=1)
    assert new.state.bound(b"session", now_s()) == LARGE
    assert new.state.refused_s([b"print"], now_s()) > 0


async def test_another_board_is_told_what_the_last_one_knew() -> None:
    handle = Handle(Board())
    a = Gateway("a", handle)
    a.state.bind(b"one", LARGE, now_s())
    await exchange(a)
    handle.board = Board()
    await exchange(a, times=2)
    late = Gateway("late", handle)
    await exchange(late, times=1)
    assert late.state.bound(b"one", now_s()) == LARGE


async def test_without_the_board_a_gateway_goes_on_and_says_it_later() -> None:
    board, handle = Board(), Handle()
    a, b = Gateway("a", handle), Gateway("b", Handle(board))
    a.state.bind(b"session", LARGE, now_s())
    assert not await a.client.exchange()
    assert a.state.bound(b"session", now_s()) == LARGE
    assert a.state.affords(paid_elsewhere=False)
    handle.board, handle.lost_answers = board, 1
    await exchange(a, b, times=2)
    assert b.state.bound(b"session", now_s()) == LARGE


async def test_much_news_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MOST_ENTRIES", 3)
    handle = Handle(Board())
    a, b = Gateway("a", handle), Gateway("b", handle)
    for number in range(10):
        a.state.bind(b"%d" % number, LARGE, now_s())
    await exchange(a)
    times = 1
    while await b.client.exchange():
        times += 1
    assert times > 3
    assert all(b.state.bound(b"%d" % number, now_s()) for number in range(10))


async def test_the_board_is_bounded_whatever_gateways_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "CAPACITY", 50)
    board = Board()
    for number in range(300):
        said = [("bindings", b"%d" % (number * 2 + one), ("large", None), 0.0) for one in (0, 1)]
        asked: dict[str, Any] = {
            "gateway": str(number),
            "mark": None,
            "seen": 0,
            "summaries": {},
            "entries": said,
        }
        answer = await board.exchange(asked)
    assert len(answer["entries"]) <= 50
    assert len(answer["summaries"]) < boards.MOST_GATEWAYS


async def test_an_older_entry_never_replaces_a_newer_one() -> None:
    handle = Handle(Board())
    a, b = Gateway("a", handle), Gateway("b", handle)
    a.state.bind(b"key", Binding("large"), now_s() - 5)
    b.state.bind(b"key", Binding("small"), now_s())
    await exchange(b, a)
    assert [g.state.bound(b"key", now_s()) for g in (a, b)] == [Binding("small")] * 2


def cap_of(rate: float, burst: int) -> Escalation:
    return Escalation(target_rate=rate / 2, max_rate=rate, burst=burst)


async def test_gateways_hold_one_rate_and_a_new_one_begins_where_they_are() -> None:
    handle = Handle(Board())
    a, b = Gateway("a", handle), Gateway("b", handle)
    await exchange(a, b)
    trained = a.state.threshold
    assert b.state.threshold == trained
    for number in range(2000):
        gateway = (a, b)[number % 2]
        gateway.state.earn()
        claim = number % 100 / 200  # nothing comes near the trained threshold
        if claim >= gateway.state.threshold and gateway.state.affords(paid_elsewhere=False):
            gateway.state.spend()
        gateway.state.claimed(claim)
        if not number % 50:
            await exchange(a, b, times=1)
    await exchange(a, b)
    assert a.state.rate.requests == b.state.rate.requests == 2000
    assert a.state.threshold == pytest.approx(b.state.threshold, abs=0.02) and trained == 0.7
    assert a.state.threshold < 0.5
    late = Gateway("late", handle)
    await exchange(late, times=1)
    assert late.state.threshold == pytest.approx(a.state.threshold, abs=0.05)
    await exchange(late, a, late, a)
    assert late.state.rate.requests == a.state.rate.requests == 2000


async def test_a_new_gateway_begins_where_the_others_are_after_their_traffic_has_drifted() -> None:
    handle = Handle(Board())
    old = Gateway("old", handle)
    for claim in (0.6, 0.2):
        for number in range(5000):
            old.state.earn()
            asks = claim + number * 37 % 100 / 1000
            if asks >= old.state.threshold and old.state.affords(paid_elsewhere=False):
                old.state.spend()
            old.state.claimed(asks)
    await exchange(old)
    # What all of a new release's gateways say first, they say before they have heard of anybody.
    new = [Gateway(name, handle) for name in "ab"]
    await exchange(*new, times=1)
    for gateway in new:
        assert gateway.state.threshold == pytest.approx(old.state.threshold, abs=0.05)
        assert gateway.state.rate.requests == 10_000


class Fleet:
    """Gateways' budgets, and what each last said to the others."""

    def __init__(self, config: Escalation) -> None:
        self.config = config
        self.budgets: dict[str, Budget] = {}
        self.said: dict[str, float] = {}
        self.spent = self.requests = 0

    def join(self) -> None:
        name = f"g{len(self.budgets)}"
        self.budgets[name] = Budget(self.config)
        self.exchange(name)

    def exchange(self, name: str) -> None:
        self.said[name] = self.budgets[name].say()
        others = [Said(other, 0.0, said) for other, said in self.said.items() if other != name]
        self.budgets[name].hear(others)

    def ask(self, name: str) -> None:
        budget = self.budgets[name]
        budget.earn()
        self.requests += 1
        if budget.left:
            budget.spend()
            self.spent += 1


# Whose turn it is, and how many hard requests it then gets; none: it exchanges.
steps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=200)


@given(st.floats(0.01, 1), st.integers(1, 30), st.integers(1, 4), steps)
def test_gateways_together_stay_under_the_bound_of_one(
    rate: float, burst: int, gateways: int, steps: list[tuple[int, int]]
) -> None:
    fleet = Fleet(cap_of(rate, burst))
    for who, wants in steps:
        if len(fleet.budgets) < gateways and who >= len(fleet.budgets):
            fleet.join()
        name = f"g{who % max(1, len(fleet.budgets))}"
        if name not in fleet.budgets:
            continue
        for _ in range(wants):
            fleet.ask(name)
        if not wants:
            fleet.exchange(name)
        assert fleet.spent <= burst + rate * fleet.requests + 1e-6


def test_a_gateway_alone_with_the_traffic_gets_what_the_others_earn() -> None:
    """Easy traffic at one gateway pays for the hard traffic at the other."""
    fleet = Fleet(cap_of(0.1, 10))
    fleet.join()
    fleet.join()
    for _ in range(200):
        for _ in range(10):
            fleet.budgets["g0"].earn()
        fleet.requests += 10
        for name in fleet.budgets:
            fleet.exchange(name)
        fleet.ask("g1")
    assert 200 * 0.9 <= fleet.spent <= 200


def test_a_gateway_that_is_gone_holds_no_part() -> None:
    budget = Budget(cap_of(0.5, 10))
    budget.hear([Said("b", 0.0, 0.0)])
    for _ in range(20):
        budget.earn()
    assert affordable(budget) == 5
    budget.hear([Said("b", LIVE_S + 1, 0.0)])
    for _ in range(40):
        budget.earn()
    assert affordable(budget) == 10


def test_a_gift_is_not_taken_twice_however_many_gateways_come_and_go() -> None:
    budget = Budget(cap_of(0.1, 20))
    budget.hear([Said("old", 0.0, 5.0)])
    for number in range(1500):
        budget.hear([Said("old", 0.0, 5.0), Said(f"g{number}", 0.0, 0.0)])
    assert affordable(budget) == 0


def test_of_gateways_that_are_gone_so_many_are_remembered() -> None:
    known: dict[str, int] = {}
    for number in range(5000):
        remember(known, {"old": 0, f"g{number}": number})
    assert len(known) == MOST_KNOWN and "old" in known


def affordable(budget: Budget) -> int:
    spent = 0
    while budget.left:
        budget.spend()
        spent += 1
    return spent


def now_s() -> float:
    return asyncio.get_running_loop().time()
