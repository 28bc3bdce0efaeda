"""One admitted request: its attempts, and one settlement however it ends.

What the response headers, the ledger line and the metrics say is read from here. Durations are in
seconds, times on `time.perf_counter`'s clock.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from classifier import Score
from deployments.accounting.price import Price
from deployments.accounting.purse import Hold
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import EngineDead, ServingError
from deployments.routing.cause import Cause
from deployments.routing.route import Route
from deployments.settings.app import TierName

# The most that JSON's numbers hold everywhere; an engine that says more is wrong.
MAX_TOKENS = 2**53
NO_USAGE = Usage(0, 0)


@dataclass(slots=True)
class Attempt:
    """One tier that was asked, and what it produced, wanted or not."""

    tier: TierName
    cause: Cause
    # The name under which the tier serves what answers: the config's until the replica says its
    # own.
    model: str
    price: Price
    started_s: float
    # The digest of the release that answers, by its own word; empty until then.
    release: str = ""
    usage: Usage = NO_USAGE
    total_s: float | None = None
    # `ok`, `empty` or `escalated` (the answer check did not let it out), `cancelled`, or an error's
    # code; None while it runs.
    outcome: str | None = None
    # Whether it was made to its end, also where nobody got it.
    whole: bool = False
    # How much the answer itself asked for the large tier, in [0, 1]; None: it was not judged.
    answer_score: float | None = None
    # What was plainly wrong with it.
    answer_fault: str | None = None
    # What the client was kept waiting for, so that it could be judged.
    held_tokens: int = 0
    hold_s: float = 0.0

    def end(self, outcome: str) -> None:
        """Close the attempt; later calls change nothing."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.whole = self.whole or outcome == "ok"
        self.total_s = time.perf_counter() - self.started_s
        self.usage = Usage(*map(_tokens, self.usage))

    @property
    def time_nano_usd(self) -> int:
        """What its time on a replica of our own cost, nano-USD."""
        seconds = self.total_s
        return self.price.time_nano_usd(
            time.perf_counter() - self.started_s if seconds is None else seconds
        )

    @property
    def cost_nano_usd(self) -> int:
        """What its tokens and its time cost, nano-USD."""
        return self.price.cost_nano_usd(self.usage) + self.time_nano_usd


@dataclass(slots=True)
class Exchange:
    """One request from its admission to its settlement."""

    request_id: str
    endpoint: str
    asked_model: str
    stream: bool
    started_s: float
    # Whose it is: the public id of a key, and what is held for it.
    key_id: str = ""
    tenant: str = ""
    hold: Hold | None = None
    # What its answer says of the key's limits.
    headers: dict[str, str] = field(default_factory=dict)
    # Unlike `request_id`, which clients choose, no two have it; in the order of their arrival.
    record_id: str = field(default_factory=lambda: f"{time.time_ns():016x}{secrets.token_hex(8)}")
    score: Score | None = None
    score_s: float | None = None
    # The claim at and above which requests escalated when this one was decided.
    threshold: float | None = None
    attempts: list[Attempt] = field(default_factory=list)
    ttft_s: float | None = None
    total_s: float | None = None
    # An error's code, `cancelled`, `ok`; None while nothing has ended it.
    outcome: str | None = None
    settled: bool = False

    def attempt(self, route: Route, model: str, price: Price) -> Attempt:
        """Begin to ask a tier."""
        begun = Attempt(route.tier, route.cause, model, price, time.perf_counter())
        self.attempts.append(begun)
        return begun

    @property
    def last(self) -> Attempt | None:
        """The attempt that answered, or failed last; None where no tier was asked."""
        return self.attempts[-1] if self.attempts else None

    @property
    def usage(self) -> Usage:
        """The tokens of the last attempt: those of the answer that the client got."""
        return self.attempts[-1].usage if self.attempts else NO_USAGE

    @property
    def cost_nano_usd(self) -> int:
        """What all attempts cost together, nano-USD."""
        return sum(attempt.cost_nano_usd for attempt in self.attempts)

    @property
    def answer_score(self) -> float | None:
        """The highest score of an answer that was judged."""
        scores = [a.answer_score for a in self.attempts if a.answer_score is not None]
        return max(scores, default=None)

    @property
    def wasted_completion_tokens(self) -> int:
        """Tokens that were generated and that the client did not get."""
        return sum(attempt.usage.completion_tokens for attempt in self.attempts[:-1])

    @property
    def engine_deaths(self) -> int:
        """Attempts whose engine died under the request."""
        return sum(attempt.outcome == EngineDead.code for attempt in self.attempts)

    def first_byte(self) -> None:
        """Note the time of the first byte of the answer; later calls change nothing."""
        if self.ttft_s is None:
            self.ttft_s = time.perf_counter() - self.started_s

    def end(self, error: BaseException | None) -> None:
        """Note how the answer ended: whole, or by `error`.

        The first end counts, except that a mistake of ours after a whole answer still is one.
        """
        outcome = outcome_of(error)
        if self.outcome is None:
            self.total_s = time.perf_counter() - self.started_s
        elif self.outcome != "ok" or outcome != "internal_error":
            return
        self.outcome = outcome
        if self.attempts:
            self.attempts[-1].end(outcome)

    def settle(self, error: BaseException | None, keep: Callable[["Exchange"], None]) -> None:
        """Close what is open and hand the exchange to `keep`, once; later calls do nothing.

        A request that ends before its answer does, without an error, was left by its client.
        """
        if self.settled:
            return
        self.settled = True
        if error is not None or self.outcome is None:
            self.end(error or asyncio.CancelledError())
        keep(self)


def outcome_of(error: BaseException | None) -> str:
    """`ok`, `cancelled`, or an error's code."""
    if error is None:
        return "ok"
    if isinstance(error, ServingError):
        return error.code or "error"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return "internal_error"


def _tokens(count: int) -> int:
    """A count that can be added up: some servers say -1 for what they do not know."""
    return max(0, min(int(count), MAX_TOKENS))
