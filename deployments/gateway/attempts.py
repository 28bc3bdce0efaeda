"""Asks one tier after the other until one has begun to answer, and its answer may go out."""

import asyncio
from dataclasses import dataclass, field, replace

from classifier import Score
from deployments.accounting.estimate import limited
from deployments.accounting.exchange import Attempt, Exchange, outcome_of
from deployments.gateway.answer_check import Fault, Judged, says_nothing
from deployments.gateway.deciding import Deciding
from deployments.gateway.judge import Judge
from deployments.gateway.opened import Opened
from deployments.gateway.paying import Paid, Paying
from deployments.gateway.ports import Ports
from deployments.gateway.watch import Watch
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    AccountsUnavailable,
    EngineDead,
    EngineFailure,
    InsufficientQuota,
    ServingError,
)
from deployments.protocol.openai_request import ParsedRequest
from deployments.routing.cause import Cause
from deployments.routing.route import (
    Route,
    after_answer_check,
    after_failure,
)
from deployments.routing.signals import Asked, Policy


@dataclass(frozen=True, slots=True)
class Job:
    """What a request wants of whichever tier answers it."""

    request: ParsedRequest
    asked: Asked
    domain: str | None
    request_id: str
    # On the event loop's clock.
    deadline_s: float
    paid: Paid = field(default_factory=Paid)
    # What the classifier said of the question; None: nothing.
    score: Score | None = None
    # Whether the small tier's answer is judged.
    checked: bool = True
    # How often the request has passed a service like this one.
    hops: int = 0


class Attempts:
    """Opens answers, each try of which is an attempt of the exchange."""

    def __init__(self, paying: Paying, judge: Judge, deciding: Deciding, ports: Ports) -> None:
        self._state = deciding.tiers
        self._paying = paying
        self._judge = judge
        self._rule = judge.rule
        self._names = deciding.names
        self._ports = ports

    async def open(self, route: Route, job: Job, exchange: Exchange) -> Opened:
        """An answer, from the first tier that gives one.

        At most two tiers are asked: a route that is itself a fallback allows no other, except that
        an answer that was to be bettered is asked for again where nobody could better it. Held
        chunks were not sent: a failure among them is one before the first byte.
        Raises: `ServingError`.
        """
        while True:
            name = self._names.served(job.request.model, route.tier, job.domain)
            try:
                await self._paying.cover(exchange, route.tier, job.paid, _left_s(job))
            except (InsufficientQuota, AccountsUnavailable):
                if route.cause is not Cause.ANSWER_CHECK:
                    raise
                # What was to be bettered is better than an error.
                route = Route("small", Cause.BUDGET_EXHAUSTED, may_fall_back=False)
                continue
            exchange.attempt(route, name, self._paying.prices[route.tier])
            found = await self._ask(route, job, exchange)
            if isinstance(found, Opened):
                return found
            route = found

    async def _ask(self, route: Route, job: Job, exchange: Exchange) -> Opened | Route:
        """The answer, or where to ask next."""
        attempt, opened = exchange.attempts[-1], None
        try:
            tier = self._ports.tiers[route.tier]
            asked = self._engine_request(route, job)
            watch = self._watch(route, job, replace(job.request, body=asked.body), attempt)
            if watch is not None and self._judge.wants_logprobs:
                asked = replace(asked, logprobs=True)
            answer = await tier.open(asked, job.deadline_s)
            opened = Opened(answer, attempt, watch, self._paying.target_prices)
            other = await self._held(opened, route, job)
            if other is None:
                kept, opened = opened, None  # it is the caller's now
                return kept
            return other
        except ServingError as error:
            attempt.end(outcome_of(error))
            died_first = isinstance(error, EngineDead) and exchange.engine_deaths == 1
            if died_first and opened is not None:
                # The tier has not tried again: for it, this answer was open.
                return route
            return after_failure(route, error, self._state())
        finally:
            if opened is not None:
                await opened.close()

    async def _held(self, opened: Opened, route: Route, job: Job) -> Route | None:
        """Hold the answer as long as it may still come from elsewhere; where to ask instead."""
        await opened.begin()
        watch = opened.watch
        if watch is not None and self._holds(route, job):
            await opened.hold(self._rule.hold_ms / 1e3)
            watch.book_hold()
            judged = Judged(0.0) if watch.is_plain and not watch.over else watch.judge()
            if other := self._after(judged, route):
                opened.attempt.whole = opened.is_whole
                opened.attempt.end("empty" if judged.fault is Fault.EMPTY else "escalated")
                return other
        if opened.is_whole and says_nothing(opened.held):
            raise EngineFailure("The model gave no answer.")
        return None

    def _watch(
        self, route: Route, job: Job, asked: ParsedRequest, attempt: Attempt
    ) -> Watch | None:
        """What looks at the answer to what was asked: the small tier's, unless the client chose the
        tier or wants none."""
        judged = job.checked and self._rule.enabled and job.asked.tier is None
        if not judged or route.tier != "small":
            return None
        return Watch(asked, job.score, self._judge, attempt)

    def _holds(self, route: Route, job: Job) -> bool:
        """Whether the answer waits for its judgement: not where it changes nothing, nor where the
        question is sure."""
        if not job.request.stream:
            return True
        sure = job.score is not None and job.score.complexity < self._rule.sure_below
        return not sure and self._after(Judged(1.0), route, spend=False) is not None

    def _after(self, judged: Judged, route: Route, spend: bool = True) -> Route | None:
        """Where to ask next because of what the answer says; None: keep it."""
        state = self._ports.state
        policy = Policy(state.threshold, state.affords(paid_elsewhere=False))
        other = after_answer_check(route, judged.claim, self._state(), policy)
        if other is not None and spend:
            state.spend()
        return other

    def _engine_request(self, route: Route, job: Job) -> EngineRequest:
        name = self._names.served(job.request.model, route.tier, job.domain)
        return EngineRequest(
            endpoint=job.request.endpoint,
            body=limited(job.request, job.paid.estimate.limit),
            request_id=job.request_id,
            # Under which name a tier serves its own model is its replicas' business.
            adapter=name if name in self._names.adapters[route.tier] else None,
            local_only=job.asked.local_only,
            needs=tuple(sorted(job.asked.needs)),
            media_hosts=tuple(sorted(job.asked.media_hosts)),
            hops=job.hops,
            timeout_s=_left_s(job),
        )


def _left_s(job: Job) -> float:
    return max(0.0, job.deadline_s - asyncio.get_running_loop().time())
