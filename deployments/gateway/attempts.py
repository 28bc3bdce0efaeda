"""Asks one tier after the other until one has begun to answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from deployments.accounting.estimate import limited
from deployments.accounting.exchange import Attempt, Exchange, outcome_of
from deployments.gateway.answer_check import gave_up, says_nothing
from deployments.gateway.paying import Paid, Paying
from deployments.gateway.ports import OpenAnswer, Ports
from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import EngineDead, EngineFailure, ServingError
from deployments.protocol.openai_request import ParsedRequest
from deployments.routing.model_names import ModelNames
from deployments.routing.route import Route, after_answer_check, after_failure
from deployments.routing.signals import Asked, Policy, Tiers

# The claim of an answer that is none.
SURELY = 1.0


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


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that has said something, or is whole; the chunks held until then come first."""

    answer: OpenAnswer
    attempt: Attempt
    held: list[Chunk]
    rest: AsyncIterator[Chunk]

    async def chunks(self) -> AsyncIterator[Chunk]:
        """The answer's chunks to the last. Raises: `ServingError`, also where it was cut."""
        for chunk in self.held:
            yield chunk
            if chunk.done:
                return
        async for chunk in self.rest:
            take(self.attempt, chunk)
            yield chunk
            # Nothing may follow: whatever becomes of the replica now, the answer is whole.
            if chunk.done:
                return
        raise EngineFailure("The answer ended before it was complete.")


class Attempts:
    """Opens answers, each try of which is an attempt of the exchange."""

    def __init__(
        self, paying: Paying, names: ModelNames, ports: Ports, state: Callable[[], Tiers]
    ) -> None:
        self._state = state
        self._paying = paying
        self._names = names
        self._ports = ports

    async def open(self, route: Route, job: Job, exchange: Exchange) -> Opened:
        """An answer, from the first tier that gives one.

        At most two tiers are asked: a route that is itself a fallback allows no other. Held chunks
        were not sent: a failure among them is one before the first byte.
        Raises: `ServingError`.
        """
        while True:
            name = self._names.served(job.request.model, route.tier, job.domain)
            await self._paying.cover(exchange, route.tier, job.paid, _left_s(job))
            exchange.attempt(route, name, self._paying.prices[route.tier])
            found = await self._ask(route, job, exchange)
            if isinstance(found, Opened):
                return found
            route = found

    async def _ask(self, route: Route, job: Job, exchange: Exchange) -> Opened | Route:
        """The answer, or where to ask next."""
        attempt, answer = exchange.attempts[-1], None
        try:
            tier = self._ports.tiers[route.tier]
            answer = await tier.open(self._engine_request(route, job), job.deadline_s)
            opened = await _hold(answer, attempt)
            if (other := self._next_after(opened, route, job.request)) is None:
                answer = None  # it is the caller's now
                return opened
            attempt.end("empty")
            return other
        except ServingError as error:
            attempt.end(outcome_of(error))
            died_first = isinstance(error, EngineDead) and exchange.engine_deaths == 1
            if died_first and answer is not None:
                # The tier has not tried again: for it, this answer was open.
                return route
            return after_failure(route, error, self._state())
        finally:
            if answer is not None:
                await answer.close()

    def _engine_request(self, route: Route, job: Job) -> EngineRequest:
        name = self._names.served(job.request.model, route.tier, job.domain)
        return EngineRequest(
            endpoint=job.request.endpoint,
            body=limited(job.request, job.paid.estimate.limit),
            request_id=job.request_id,
            # Under which name a tier serves its own model is its replicas' business.
            adapter=name if name in self._names.adapters[route.tier] else None,
            local_only=job.asked.local_only,
            timeout_s=_left_s(job),
        )

    def _next_after(self, opened: Opened, route: Route, request: ParsedRequest) -> Route | None:
        """Where to ask next because of what the answer says; None: keep it."""
        if not opened.held[-1].done or not gave_up(opened.held, request):
            return None
        opened.attempt.answer_score = SURELY
        state = self._ports.state
        policy = Policy(state.threshold, state.affords(paid_elsewhere=False))
        other = after_answer_check(route, SURELY, self._state(), policy)
        if other is not None:
            state.spend()
        elif says_nothing(opened.held):
            raise EngineFailure("The model gave no answer.")
        return other


def _left_s(job: Job) -> float:
    return max(0.0, job.deadline_s - asyncio.get_running_loop().time())


async def _hold(answer: OpenAnswer, attempt: Attempt) -> Opened:
    """The answer once it has said something or is whole."""
    opened = Opened(answer, attempt, [], aiter(answer))
    async for chunk in opened.rest:
        take(attempt, chunk)
        opened.held.append(chunk)
        if chunk.content or chunk.done:
            return opened
    raise EngineFailure("The answer ended before it was complete.")


def take(attempt: Attempt, chunk: Chunk) -> None:
    """Book what a chunk says, before anything can happen to it."""
    attempt.usage = chunk.usage
    if chunk.model:
        attempt.model, attempt.release = chunk.model, chunk.release
