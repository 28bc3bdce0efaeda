"""A classifier that fails, or takes too long, costs quality and never the request."""

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest

import classifier
from deployments.replicas.classify import (
    FAILURES_IN_A_ROW,
    PROBE_EVERY,
    ClassifierClient,
    ClassifierReplica,
    open_classifier,
)
from deployments.settings.app import ClassifierConfig
from deployments.settings.config_mistake import ConfigError
from tests.fakes import score_of


class Response:
    """A unary response of a handle."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        if isinstance(self._outcome, float):
            await asyncio.sleep(self._outcome)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle that gives one response."""

    def __init__(self, outcome: Any) -> None:
        self.response = Response(outcome)
        self.asked = 0

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self, text: str) -> Response:
        self.text = text
        self.asked += 1
        return self.response


@pytest.mark.parametrize(
    ("outcome", "scored", "cancelled"),
    [(score_of(0.3), 0.3, False), (60.0, None, True), (RuntimeError("dead"), None, True)],
    ids=["scored", "too slow", "failed"],
)
async def test_a_score_comes_in_time_or_not_at_all(
    outcome: Any, scored: float | None, cancelled: bool
) -> None:
    handle: Any = Handle(outcome)
    score = await ClassifierClient(handle, 0.05).score("Hello")
    assert (score.complexity if score else None) == scored
    assert handle.response.cancelled is cancelled


async def test_a_classifier_that_fails_is_said_once_until_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handle: Any = Handle(RuntimeError("the prompt"))
    client = ClassifierClient(handle, 1.0)
    for outcome in (RuntimeError("the prompt"), RuntimeError("again"), score_of(0.3), ValueError()):
        handle.response = Response(outcome)
        await client.score("Hello")
    said = [record.message for record in caplog.records]
    assert said == [
        "classifier: RuntimeError; requests go small unscored",
        "classifier: ValueError; requests go small unscored",
    ]


async def test_a_classifier_that_is_away_is_asked_now_and_then_until_it_is_back() -> None:
    handle: Any = Handle(RuntimeError("away"))
    client = ClassifierClient(handle, 1.0)
    scores = [await client.score("Hello") for _ in range(FAILURES_IN_A_ROW + 2 * PROBE_EVERY)]
    assert scores == [None] * len(scores)
    assert handle.asked == FAILURES_IN_A_ROW + 2
    handle.response = Response(score_of(0.3))
    scores = [await client.score("Hello") for _ in range(PROBE_EVERY + 5)]
    assert [score is None for score in scores] == [True] * (PROBE_EVERY - 1) + [False] * 6


async def test_what_the_handle_itself_raises_costs_no_request() -> None:
    class Broken(Handle):
        def remote(self, text: str) -> Response:
            raise RuntimeError("the deployment is gone")

    handle: Any = Broken(None)
    assert await ClassifierClient(handle, 1.0).score("Hello") is None


async def test_a_conversation_that_cannot_be_flattened_goes_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(_: Any) -> str:
        raise KeyError("a word of the prompt")

    monkeypatch.setattr(classifier, "flatten", breaks)
    handle: Any = Handle(score_of(0.3))
    assert await ClassifierClient(handle, 1.0).score([{"role": "user"}]) is None


async def test_a_request_that_is_given_up_cancels_its_score() -> None:
    handle: Any = Handle(60.0)
    asking = asyncio.create_task(ClassifierClient(handle, 60.0).score("Hello"))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert handle.response.cancelled


async def test_only_the_capped_text_travels() -> None:
    handle: Any = Handle(score_of(0.3))
    messages = [
        {"role": "system", "content": "p " * 90_000},
        {"role": "user", "content": "x" * 9**6},
    ]
    await ClassifierClient(handle, 60.0).score(messages)
    assert handle.text == classifier.flatten(messages)
    assert len(handle.text) <= 3_000


@pytest.fixture(scope="module")
def replica() -> ClassifierReplica:
    return ClassifierReplica(ClassifierConfig())


async def test_a_replica_scores_as_the_classifier_does(replica: ClassifierReplica) -> None:
    prompts = ["hi", "", "Prove that there are infinitely many primes."]
    scores = await asyncio.gather(*map(replica.score, prompts))
    assert scores == [classifier.load().score(prompt) for prompt in prompts]


async def test_the_event_loop_stays_free_while_a_score_is_made(
    replica: ClassifierReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_score", lambda _: time.sleep(0.3))
    scoring, ticks = asyncio.create_task(replica.score("x")), 0
    while not scoring.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks >= 5  # of 30; none where the loop itself scored


async def test_a_score_goes_back_before_the_next_one_is_made(
    replica: ClassifierReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def second_waits(text: str) -> str:
        if text == "second":
            asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result(timeout=30)
        return text

    monkeypatch.setattr(replica, "_score", second_waits)
    score: Any = replica.score
    first, second = (asyncio.create_task(score(t)) for t in ("first", "second"))
    assert await first == "first"
    assert not second.done()
    going_on.set()
    assert await second == "second"


def test_a_full_window_sets_the_gauges_and_warns_without_a_word_of_the_prompts(
    replica: ClassifierReplica, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gauges: dict[str, list[float]] = {}
    for name, gauge in replica._gauges._gauges.items():
        monkeypatch.setattr(gauge, "set", gauges.setdefault(name, []).append)
    for i in range(600):
        replica._score(f"Compare the {i}th theorem with its converse.")
        replica._score("")  # nothing was asked: not traffic
    assert set(gauges) == set(classifier.DriftReport.about())
    assert gauges["prompts"] == [300.0, 300.0]
    # One sentence over and over is not the traffic that the threshold was set on.
    assert gauges["alarm"] == [1.0, 1.0]
    assert "drifted" in caplog.text
    assert "theorem" not in caplog.text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ClassifierConfig(threshold=0.9999), "outside the reachable scores"),
        (ClassifierConfig(artifact="/nowhere"), "no manifest.json"),
        (ClassifierConfig(domains={"legal": ["one example"]}), "at least"),
    ],
    ids=["threshold", "artefact", "domains"],
)
def test_a_classifier_that_cannot_work_is_refused_in_one_line(
    config: ClassifierConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_classifier(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_everything_and_nothing_may_be_asked_for(threshold: float) -> None:
    open_classifier(ClassifierConfig(threshold=threshold))
