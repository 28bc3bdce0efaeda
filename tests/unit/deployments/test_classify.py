"""A classifier that fails, or takes too long, costs quality and never the request."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from deployments.classify import ClassifierClient
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

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self, _: Any) -> Response:
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


async def test_a_request_that_is_given_up_cancels_its_score() -> None:
    handle: Any = Handle(60.0)
    asking = asyncio.create_task(ClassifierClient(handle, 60.0).score("Hello"))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert handle.response.cancelled
