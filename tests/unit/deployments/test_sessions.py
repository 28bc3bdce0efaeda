"""A session that went large stays large while it is warm, and the memory of it is bounded."""

import pytest

from deployments.routing.sessions import Sessions


@pytest.mark.parametrize(
    ("after_s", "large"), [(0.0, True), (59.0, True), (60.0, True), (60.1, False)]
)
def test_a_session_stays_large_for_its_time(after_s: float, large: bool) -> None:
    sessions = Sessions(ttl_s=60)
    sessions.went_large("a", 100.0)
    assert sessions.is_large("a", 100.0 + after_s) is large


def test_each_large_request_begins_the_time_again() -> None:
    sessions = Sessions(ttl_s=60)
    sessions.went_large("a", 0.0)
    sessions.went_large("a", 50.0)
    assert sessions.is_large("a", 110.0)


def test_sessions_do_not_mix_and_a_request_without_one_has_none() -> None:
    sessions = Sessions(ttl_s=60)
    sessions.went_large("a", 0.0)
    sessions.went_large(None, 0.0)
    assert not sessions.is_large("b", 0.0)
    assert not sessions.is_large(None, 0.0)


def test_the_session_used_longest_ago_is_forgotten_first() -> None:
    sessions = Sessions(ttl_s=60, capacity=2)
    for name in ("a", "b", "a", "c"):
        sessions.went_large(name, 0.0)
    assert [sessions.is_large(name, 0.0) for name in "abc"] == [True, False, True]
