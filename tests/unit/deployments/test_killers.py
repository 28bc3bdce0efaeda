"""A request under which engines died twice is refused for a while; one that died once is not."""

from typing import Any

import pytest

from deployments.routing.killers import LONGEST_S, REFUSED_S, Killers, prints_of


def prints(caller: bytes = b"a", request_id: str = "r", **body: Any) -> list[bytes]:
    return prints_of(caller, request_id, "chat", {"messages": [{"content": "Hi"}], **body})


@pytest.mark.parametrize(
    ("deaths", "refused_s"),
    [([1], 0.0), ([2], REFUSED_S), ([1, 1], REFUSED_S), ([2, 1], 2 * REFUSED_S), ([2] * 50, 3600)],
)
def test_two_deaths_refuse_a_request_and_each_more_doubles_the_time(
    deaths: list[int], refused_s: float
) -> None:
    killers = Killers()
    for count in deaths:
        killers.died(prints(), count, 0.0)
    assert killers.refused_s(prints(), 0.0) == refused_s
    assert killers.refused_s(prints(), refused_s) == 0.0


def test_a_request_is_known_again_by_its_callers_id_or_by_what_it_says() -> None:
    killers = Killers()
    killers.died(prints(), 2, 0.0)
    assert killers.refused_s(prints(request_id="other"), 0.0)
    assert killers.refused_s(prints(messages=[], max_tokens=5), 0.0)
    assert killers.refused_s(prints(b"b", "other", stream=True), 0.0)
    assert not killers.refused_s(prints(b"b", "r", messages=[]), 0.0)
    assert not killers.refused_s(prints(b"a", "other", user="x"), 0.0)


def test_deaths_long_ago_are_not_counted_together() -> None:
    killers = Killers()
    killers.died(prints(), 1, 0.0)
    killers.died(prints(), 1, LONGEST_S + 1)
    assert killers.refused_s(prints(), LONGEST_S + 1) == 0.0


def test_the_memory_is_bounded() -> None:
    killers = Killers(capacity=10)
    for number in range(100):
        killers.died([b"%d" % number], 2, 0.0)
    assert len(killers) == 10
    assert killers.refused_s([b"99"], 0.0) and not killers.refused_s([b"0"], 0.0)
