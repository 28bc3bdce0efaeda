"""Which tiers are up: as the controller last said, and it may well stay silent."""

import asyncio

import pytest

from deployments.replicas.health import RunningCounts, TierHealth, answering
from deployments.settings.app import TierName


def health(counts: RunningCounts, may_be_zero: frozenset[TierName] = frozenset()) -> TierHealth:
    known = TierHealth(dict, 1.0, may_be_zero)
    known.update(counts)
    return known


@pytest.mark.parametrize(("replicas", "up"), [(0, False), (1, True), (5, True)])
def test_a_tier_with_a_running_replica_is_up(replicas: int, up: bool) -> None:
    known = health({"small": replicas, "large": 1})
    assert known.up("small") is up
    assert known.up("large")
    assert known.running("small") == replicas


def test_a_tier_that_the_controller_does_not_name_is_down() -> None:
    assert not health({"large": 1}).up("small")


def test_a_tier_that_may_scale_to_zero_is_never_down() -> None:
    assert health({"small": 1, "large": 0}, frozenset({"large"})).up("large")


def test_before_the_first_answer_every_tier_counts_as_up() -> None:
    assert TierHealth(dict, 1.0, frozenset()).up("small")


def test_a_tier_comes_back() -> None:
    known = health({"small": 0, "large": 1})
    known.update({"small": 1, "large": 1})
    assert known.up("small")


async def test_a_controller_that_fails_changes_nothing() -> None:
    def fails() -> RunningCounts:
        raise RuntimeError("controller is gone")

    known = TierHealth(fails, 1.0, frozenset())
    known.update({"small": 2, "large": 0})
    await known.refresh()
    assert known.running("small") == 2
    assert known.up("small")
    assert not known.up("large")


async def test_whoever_waits_for_a_tier_to_go_down_is_woken() -> None:
    known = health({"small": 1, "large": 1})
    waiting = asyncio.create_task(known.wait_down("small"))
    await asyncio.sleep(0)
    assert not waiting.done()
    known.update({"small": 0, "large": 1})
    await asyncio.wait_for(waiting, 5)


async def test_polling_outlives_a_controller_that_fails_once() -> None:
    failures = iter([RuntimeError("gone")])
    polled = asyncio.Event()
    loop = asyncio.get_running_loop()

    def count() -> RunningCounts:
        for failure in failures:
            raise failure
        loop.call_soon_threadsafe(polled.set)
        return {"small": 3, "large": 1}

    known = TierHealth(count, 0.001, frozenset())
    known.start()
    known.start()  # a second start is no second poller
    await asyncio.wait_for(polled.wait(), 5)
    await asyncio.sleep(0.02)
    assert known.running("small") == 3
    assert known._task is not None
    known._task.cancel()


@pytest.mark.parametrize(
    ("cause", "patience_s", "again"),
    [
        ("a failure", 60.0, True),
        ("a long wait", 0.1, True),
        ("a long wait", 60.0, False),  # as long as the last answer is fresh
        (None, 0.1, False),
    ],
)
async def test_the_controller_is_asked_again_only_with_a_cause(
    monkeypatch: pytest.MonkeyPatch, cause: str | None, patience_s: float, again: bool
) -> None:
    monkeypatch.setattr("deployments.replicas.health.WAITING_POLL_S", patience_s)
    asked = 0

    def count() -> RunningCounts:
        nonlocal asked
        asked += 1
        return {"small": 1, "large": 1}

    known = TierHealth(count, 0.01, frozenset())
    known.start()
    await asyncio.sleep(0.2)
    before = asked
    waiting = asyncio.create_task(known.wait_down("small")) if cause == "a long wait" else None
    if cause == "a failure":
        known.suspect()
    await asyncio.sleep(0.5)
    assert (asked > before) is again
    if waiting is not None:
        waiting.cancel()


# the controller's states -> replicas that answer; None: keep the last
STATES: dict[str, tuple[dict[str, int], int | None]] = {
    "running": ({"RUNNING": 2}, 2),
    "its node is drained": ({"PENDING_MIGRATION": 1}, 1),
    "one of two is to move": ({"RUNNING": 1, "PENDING_MIGRATION": 1, "STARTING": 1}, 2),
    "the controller has just come back": ({"RECOVERING": 2}, None),
    "settings change": ({"UPDATING": 1}, None),
    "settings change one by one": ({"RUNNING": 1, "UPDATING": 1}, 1),
    "starting": ({"STARTING": 1}, 0),
    "stopping": ({"STOPPING": 3}, 0),
    "none": ({}, 0),
}


@pytest.mark.parametrize(("states", "expected"), STATES.values(), ids=STATES)
def test_a_replica_counts_where_serve_sends_it_requests(
    states: dict[str, int], expected: int | None
) -> None:
    assert answering(states) == expected


@pytest.mark.parametrize("before", [0, 2])
def test_a_tier_of_which_nothing_is_known_stays_as_it_was(before: int) -> None:
    known = health({"small": before, "large": 1})
    known.update({"small": None, "large": 1})
    assert (known.running("small"), known.up("small")) == (before, before > 0)


async def test_a_controller_that_is_away_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    away = True

    def count() -> RunningCounts:
        if away:
            raise RuntimeError("controller is gone")
        return {"small": 1, "large": 1}

    known = TierHealth(count, 1.0, frozenset())
    for away in (True, True, False, True):  # noqa: B007  # `count` reads it
        await known.refresh()
    assert caplog.text.count("tier health unknown") == 2
