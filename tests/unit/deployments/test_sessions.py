"""A binding lasts while it is warm; the memory of them is bounded whatever clients send."""

import pytest

from deployments.routing.sessions import KEY_BYTES, Binding, Sessions, session_key, turn_key

LARGE = Binding("large")


@pytest.mark.parametrize(
    ("after_s", "bound"), [(0.0, True), (59.0, True), (60.0, True), (60.1, False)]
)
def test_a_binding_stays_for_its_time(after_s: float, bound: bool) -> None:
    sessions = Sessions(ttl_s=60)
    sessions.put(b"a", LARGE, 100.0)
    assert (sessions.get(b"a", 100.0 + after_s) == LARGE) is bound


def test_each_use_begins_the_time_again() -> None:
    sessions = Sessions(ttl_s=60)
    sessions.put(b"a", LARGE, 0.0)
    sessions.put(b"a", LARGE, 50.0)
    assert sessions.get(b"a", 110.0)


def test_bindings_do_not_mix_and_a_request_without_a_key_has_none() -> None:
    sessions = Sessions(ttl_s=60)
    sessions.put(b"a", LARGE, 0.0)
    assert sessions.get(b"b", 0.0) is None
    assert sessions.get(None, 0.0) is None


def test_a_forgotten_session_is_over() -> None:
    sessions = Sessions(ttl_s=60)
    sessions.put(b"a", LARGE, 0.0)
    sessions.forget(b"a", 0.0)
    sessions.forget(b"never there", 0.0)
    assert sessions.get(b"a", 0.0) is None


def test_the_one_used_longest_ago_is_forgotten_first() -> None:
    sessions = Sessions(ttl_s=60, capacity=2)
    for name in (b"a", b"b", b"a", b"c"):
        sessions.put(name, LARGE, 0.0)
    assert [bool(sessions.get(name, 0.0)) for name in (b"a", b"b", b"c")] == [True, False, True]


def test_what_is_cold_is_dropped_before_the_memory_is_full() -> None:
    sessions = Sessions(ttl_s=60)
    for number in range(1000):
        sessions.put(b"%d" % number, LARGE, float(number))
    assert len(sessions) == 61


def test_a_key_is_short_and_its_callers_own() -> None:
    long = session_key(b"caller", "x" * 60_000)
    assert len(long) == KEY_BYTES
    keys = {
        session_key(b"a", "s"),
        session_key(b"b", "s"),
        session_key(b"a", "t"),
        turn_key(b"a", b"s"),
    }
    assert len(keys) == 4
    assert session_key(b"a", "s") == session_key(b"a", "s")
