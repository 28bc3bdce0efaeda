"""Every admitted request is settled exactly once, whatever fails or is cancelled, and whenever."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.accounting.exchange import Exchange
from deployments.accounting.settlement import Settlement
from deployments.gateway.answering import Gateway
from deployments.gateway.hints import Hints
from deployments.gateway.ports import Ports
from deployments.http.answer import AnswerResponse
from deployments.protocol.api import AsAnswered
from deployments.protocol.errors import DeadlineExceeded, all_errors
from deployments.routing.shared_state import LocalState
from deployments.settings.app import AppConfig
from tests.fakes import FakeHealth, FakeTier, chat, chunks_of, score_of

TIER = {
    "engine": {"kind": "simulated"},
    "usd_per_million_prompt_tokens": 0.0,
    "usd_per_million_completion_tokens": 1.0,
}
CONFIG = AppConfig.model_validate({n: {"model": n[0], **TIER} for n in ("small", "large")})
SCORES: dict[str, Any] = {"easy": score_of(0.1), "hard": score_of(0.9), "breaks": KeyError("x")}

errors = st.sampled_from(all_errors()).map(lambda cls: cls("x")) | st.just(KeyError("x"))
words = st.lists(st.sampled_from(["", "a"]), max_size=3)
whole = words.map(lambda texts: chunks_of(*texts))
broken = st.builds(lambda texts, error: [*chunks_of(*texts)[:-1], error], words, errors)
cut = words.map(lambda texts: chunks_of(*texts)[:-1])
tiers = st.lists(whole | broken | cut | errors, min_size=1, max_size=2)


class Client:
    """An ASGI server's side: leaves after some events, fails to send, or takes nothing more."""

    def __init__(
        self, leaves_at: int | None, send_fails_at: int | None, blocks_at: int | None = None
    ) -> None:
        self._leaves_at = leaves_at
        self._send_fails_at = send_fails_at
        self._blocks_at = blocks_at
        self._sent = 0

    async def receive(self) -> dict[str, Any]:
        if self._leaves_at is None:
            await asyncio.Event().wait()
        for _ in range(self._leaves_at or 0):
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(self, _: Any) -> None:
        await asyncio.sleep(0)
        self._sent += 1
        if self._sent == self._send_fails_at:
            raise OSError("the client is gone")
        if self._sent == self._blocks_at:
            await asyncio.Event().wait()


class World:
    """A gateway whose scorer, tiers and keepers misbehave as told."""

    def __init__(
        self, score: str, small: list[Any], large: list[Any], config: AppConfig = CONFIG
    ) -> None:
        self.score_ = SCORES[score]
        self.kept: list[Exchange] = []
        self.tiers = {"small": FakeTier(*small), "large": FakeTier(*large)}
        settle = Settlement([self._breaks, self.kept.append, self._breaks], lambda: None)
        ports = Ports(self, self.tiers, FakeHealth(), LocalState(config), settle)  # type: ignore[arg-type]  # a str key where a tier name is typed
        self.gateway = Gateway(config, ports)

    async def score(self, _: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(self.score_, Exception):
            raise self.score_
        return self.score_

    def _breaks(self, _: Exchange) -> None:
        raise ValueError("accounting")

    async def serve(self, stream: bool, client: Client, spec: str) -> None:
        answering = self.gateway.admit(chat("Hi", stream=stream), Hints("r"), 0.0)
        scope = {"type": "http", "asgi": {"spec_version": spec}}
        await AnswerResponse(answering, AsAnswered(), debug=True)(
            scope, client.receive, client.send
        )


def run(world: World, stream: bool, client: Client, spec: str, cancel_at: int | None) -> None:
    """Serve the request; cancel its task after so many turns of the event loop."""

    async def serve() -> None:
        task = asyncio.create_task(world.serve(stream, client, spec))
        if cancel_at is not None:
            for _ in range(cancel_at):
                await asyncio.sleep(0)
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    asyncio.run(serve())


def check(world: World) -> None:
    """One record, whole, and nothing left running."""
    (exchange,) = world.kept
    assert exchange.outcome is not None
    assert exchange.total_s is not None
    assert all(attempt.outcome is not None for attempt in exchange.attempts)
    assert (
        exchange.cost_nano_usd == sum(a.usage.completion_tokens for a in exchange.attempts) * 1000
    )
    opened = [answer for tier in world.tiers.values() for answer in tier.opened]
    assert [answer.closed for answer in opened] == [1] * len(opened)


@settings(max_examples=400)
@given(
    score=st.sampled_from(sorted(SCORES)),
    small=tiers,
    large=tiers,
    stream=st.booleans(),
    leaves_at=st.none() | st.integers(0, 30),
    send_fails_at=st.none() | st.integers(1, 5),
    spec=st.sampled_from(["2.3", "2.4"]),
    cancel_at=st.none() | st.integers(1, 40),
)
def test_a_request_is_settled_once(
    score: str,
    small: list[Any],
    large: list[Any],
    stream: bool,
    leaves_at: int | None,
    send_fails_at: int | None,
    spec: str,
    cancel_at: int | None,
) -> None:
    world = World(score, small, large)
    run(world, stream, Client(leaves_at, send_fails_at), spec, cancel_at)
    check(world)


@pytest.mark.parametrize("stream", [True, False])
def test_a_cancel_at_any_await_settles_the_request_once(stream: bool) -> None:
    outcomes = set()
    for cancel_at in range(1, 60):
        world = World("easy", [chunks_of("", "")], [chunks_of("a", "b", "c")])
        run(world, stream, Client(None, None), "2.4", cancel_at)
        check(world)
        outcomes.add(world.kept[0].outcome)
    assert outcomes == {"cancelled", "ok"}


# how many messages a client takes, whether it has left before, and how the exchange then ends
BLOCKS: dict[str, tuple[bool, int, int | None, str]] = {
    "the head of a stream": (True, 1, None, "cancelled"),
    "its third message": (True, 3, None, "cancelled"),
    "the last message": (True, 5, None, "ok"),
    "the head of a document": (False, 1, None, "ok"),
    "a document": (False, 2, None, "ok"),
    "the word that it has left": (True, 1, 0, "cancelled"),
}


@pytest.mark.parametrize("bound", ["one write", "the request's deadline"])
@pytest.mark.parametrize(("stream", "at", "leaves_at", "outcome"), BLOCKS.values(), ids=BLOCKS)
def test_a_client_that_takes_nothing_more_is_let_go(
    bound: str,
    stream: bool,
    at: int,
    leaves_at: int | None,
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = CONFIG
    if bound == "one write":
        monkeypatch.setattr("deployments.http.answer.SEND_TIMEOUT_S", 0.05)
    else:
        monkeypatch.setattr("deployments.http.answer.LAST_WORDS_S", 0.05)
        gateway = CONFIG.gateway.model_copy(update={"max_request_s": 0.1})
        config = CONFIG.model_copy(update={"gateway": gateway})
    words = chunks_of("a", "b", "c")
    world = World("easy", [words], [words], config)

    async def serve() -> None:
        client = Client(leaves_at, None, blocks_at=at)
        await asyncio.wait_for(world.serve(stream, client, "2.4"), 5)

    asyncio.run(serve())
    check(world)
    assert world.kept[0].outcome == outcome


async def test_an_answer_that_comes_at_its_deadline_still_goes_out() -> None:
    gateway = CONFIG.gateway.model_copy(update={"max_request_s": 1e-6})
    world = World(
        "easy", [DeadlineExceeded("late")], [], CONFIG.model_copy(update={"gateway": gateway})
    )
    client = Client(None, None)
    await world.serve(True, client, "2.4")
    assert client._sent == 2


@pytest.mark.parametrize("stream", [True, False])
def test_headers_that_cannot_be_made_leave_a_record_with_its_cost(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> Any:
        raise UnicodeEncodeError("latin-1", "x", 0, 1, "")

    monkeypatch.setattr("deployments.http.answer.response_headers", breaks)
    world = World("easy", [chunks_of("a", "b")], [chunks_of("a")])
    run(world, stream, Client(None, None), "2.4", None)
    check(world)
    assert world.kept[0].outcome == "internal_error"
    assert world.kept[0].cost_nano_usd > 0


def test_an_answer_that_nobody_begins_to_read_is_settled_and_stopped() -> None:
    world = World("easy", [chunks_of("a")], [chunks_of("a")])

    async def open_only() -> None:
        answering = world.gateway.admit(chat("Hi", stream=True), Hints("r"), 0.0)
        async with answering:
            await answering.open()
        await answering.aclose()

    asyncio.run(open_only())
    check(world)
    assert world.kept[0].outcome == "cancelled"
