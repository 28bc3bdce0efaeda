"""The breaker opens after failures in a row and probes its way back."""

from dataclasses import dataclass

from deployments.upstream.breaker import Breaker


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, open_s=10.0, clock=clock)
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_opens_at_its_number_of_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, open_s=10.0, clock=Clock())
    for result in ("failed", "failed", "succeeded", "failed", "failed"):
        getattr(breaker, result)()
        assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()


def test_open_breaker_says_when_to_come_back() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert breaker.retry_in_s == 10.0
    clock.now += 4
    assert breaker.retry_in_s == 6.0
    breaker.succeeded()
    assert breaker.retry_in_s == 0.0


def test_one_probe_goes_out_after_the_time_and_success_closes() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 9.9
    assert not breaker.allows()
    clock.now += 0.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_failed_probe_opens_for_the_whole_time_again() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    assert breaker.allows()
    clock.now += 5
    breaker.failed()
    clock.now += 9.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()


def test_lost_probe_is_followed_by_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    assert breaker.allows()  # and nothing is heard of it
    clock.now += 10
    assert breaker.allows()


def test_silence_counts_from_the_first_request_on() -> None:
    breaker = Breaker(failures=3, open_s=10.0, clock=Clock())
    for _ in range(3):
        breaker.silent(0.1)
    assert breaker.is_open


def test_silence_of_an_upstream_that_takes_longer_counts_nothing() -> None:
    breaker = Breaker(failures=1, open_s=10.0, clock=Clock())
    for took_s in (2.0, 4.0):
        breaker.began(took_s)
    breaker.silent(2.0)  # usual is 2.4
    assert not breaker.is_open
    breaker.silent(2.5)
    assert breaker.is_open


def test_first_token_closes() -> None:
    breaker = opened(Clock())
    breaker.began(0.1)
    assert not breaker.is_open
