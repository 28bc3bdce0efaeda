"""A circuit breaker: a dead upstream answers at once instead of after a timeout."""

from collections.abc import Callable

# How far an upstream's usual time to its first token moves towards the last one seen.
NEW_WEIGHT = 0.2
# A timer may fire so much early.
CLOCK_STEP_S = 0.005


class Breaker:
    """Opens after `failures` in a row; then lets one probe through every `open_s` seconds.

    The pattern of M. Nygard, Release It! (2007). A probe has no end of its own: if nothing is heard
    of it, the next one follows `open_s` later, so that a lost probe cannot keep the circuit open.
    """

    def __init__(self, failures: int, open_s: float, clock: Callable[[], float]) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._next_probe_at = 0.0
        self._usual_s = 0.0
        self._rests_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests are turned away, probes apart."""
        return self._failures >= self._limit

    @property
    def rests(self) -> bool:
        """Whether the upstream has asked to be left alone for now."""
        return self._clock() < self._rests_until - CLOCK_STEP_S

    @property
    def retry_in_s(self) -> float:
        """Seconds until the next request may go out; zero while it may."""
        until = max(self._rests_until, self._next_probe_at if self.is_open else 0.0)
        return max(0.0, until - self._clock())

    def rest(self, seconds: float) -> None:
        """Send nothing for so long: the upstream asks for it."""
        self._rests_until = max(self._rests_until, self._clock() + seconds)

    def allows(self) -> bool:
        """Whether this request may go out; while open, asking takes the probe."""
        if self.rests:
            return False
        if not self.is_open:
            return True
        if self.retry_in_s > 0:
            return False
        self._next_probe_at = self._clock() + self._open_s
        return True

    def succeeded(self) -> None:
        """Close: the upstream answered."""
        self._failures = 0

    def began(self, waited_s: float) -> None:
        """Close: a first token came, so long after it was asked for."""
        self.succeeded()
        weight = NEW_WEIGHT if self._usual_s else 1.0
        self._usual_s += weight * (waited_s - self._usual_s)

    def silent(self, waited_s: float) -> None:
        """Count a try that brought no token in `waited_s`.

        Not where the upstream usually takes longer than that: clients in a hurry must not close a
        healthy upstream to all others.
        """
        if waited_s >= self._usual_s:
            self.failed()

    def failed(self) -> None:
        """Count a failure; the one that reaches the limit, and each failed probe, opens anew."""
        self._failures += 1
        if self.is_open:
            self._next_probe_at = self._clock() + self._open_s
