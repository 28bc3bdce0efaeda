"""An answer that says nothing is noticed; one that ended as its client wished is kept."""

from typing import Any

import orjson
import pytest

from deployments.gateway.answer_check import gave_up, says_nothing
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.openai_request import ParsedRequest, parse


def request(**fields: Any) -> ParsedRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return parse("chat", orjson.dumps(body))


def chunk(finish: str | None = None, content: bool = False) -> Chunk:
    return Chunk(b"x", Usage(1, 1), content, finish)


# held chunks of a whole answer -> gave up, says nothing at all
WHOLE = {
    "ended at once": ([chunk(), chunk("stop")], True, False),
    "ended at once, in one chunk": ([chunk("stop")], True, False),
    "no choices": ([chunk()], True, True),
    "nothing": ([], True, True),
    "text": ([chunk(), chunk(content=True), chunk("stop")], False, False),
    "text that only the first chunk has": ([chunk(content=True), chunk("stop")], False, False),
    "its token limit": ([chunk(), chunk("length")], False, False),
    "filtered": ([chunk("content_filter")], False, False),
    "one of two choices has a reason": ([chunk("stop"), chunk("length")], False, False),
}


@pytest.mark.parametrize(("held", "given_up", "nothing"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_judged_by_its_chunks(
    held: list[Chunk], given_up: bool, nothing: bool
) -> None:
    assert gave_up(held, request()) is given_up
    assert says_nothing(held) is nothing


def test_an_answer_that_the_clients_stop_ended_is_its_own_doing() -> None:
    assert not gave_up([chunk("stop")], request(stop=["Hi"]))
    assert gave_up([chunk()], request(stop=["Hi"]))
