"""A request's way through the system, top to bottom: score, decide, open, fall back, account.

Knows neither HTTP (`api.py`) nor Ray: it is handed a classifier, two tiers and their health, and
is tested with plain objects in their place.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.accounting.record import Record
from deployments.gateway.answer_check import first_content, is_empty_answer
from deployments.gateway.ports import Health, OpenAnswer, Scorer, Tier
from deployments.protocol.chunk import Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import DeadlineExceeded, ServingError
from deployments.protocol.openai_request import ParsedRequest
from deployments.routing.budget import Budget
from deployments.routing.model_names import ModelNames
from deployments.routing.route import (
    Asked,
    Cause,
    Route,
    Tiers,
    TierState,
    after_answer_check,
    after_failure,
    decide,
    would_change,
)
from deployments.routing.sessions import Sessions
from deployments.settings.app import AppConfig, TierName

# What a conversation needed the large model for, as against what a moment did: a full or dead small
# tier, or one request's hint, does not bind the next request.
KEEPS_SESSION_LARGE = frozenset(
    {Cause.CLASSIFIER, Cause.ANSWER_CHECK, Cause.CONTEXT_WINDOW, Cause.SESSION}
)


@dataclass(frozen=True, slots=True)
class Hints:
    """What a client's headers say about one request."""

    request_id: str
    min_tier_large: bool = False
    local_only: bool = False
    session: str | None = None
    timeout_s: float | None = None


class Gateway:
    """Answers requests from two tiers, the small one first."""

    def __init__(
        self,
        config: AppConfig,
        scorer: Scorer,
        tiers: Mapping[TierName, Tier],
        health: Health,
        observe: Callable[[Record], None],
    ) -> None:
        self.config = config
        self._scorer = scorer
        self._tiers = tiers
        self._health = health
        self._observe = observe
        self._budget = Budget(config.escalation_budget)
        self._sessions = Sessions(config.gateway.session_ttl_s)
        self.names = ModelNames(config)

    async def answer(
        self, request: ParsedRequest, hints: Hints, record: Record
    ) -> AsyncIterator[bytes]:
        """The answer's bytes, open: what fails before the first byte is raised here.

        Fills `record` on the way and hands it to `observe` when the request is over, however it
        ended.
        """
        loop = asyncio.get_running_loop()
        limit_s = self.config.gateway.max_request_s
        deadline_s = loop.time() + min(hints.timeout_s or limit_s, limit_s)
        try:
            try:
                async with asyncio.timeout_at(deadline_s):
                    asked = self._asked(request, hints)
                    route = await self._route(asked, request, record)
            except TimeoutError:
                raise DeadlineExceeded("The deadline passed before the request began.") from None
            answer, held = await self._open(route, asked, request, record, deadline_s)
        except BaseException as error:
            self._finish(record, error)
            raise
        if record.route is not None and record.route.cause in KEEPS_SESSION_LARGE:
            self._sessions.went_large(hints.session, loop.time())
        return self._bytes(answer, held, record)

    def refuse(self, record: Record, error: ServingError) -> None:
        """Account for a request that was wrong before it could be answered."""
        self._finish(record, error)

    async def dry_run(self, request: ParsedRequest, hints: Hints) -> dict[str, Any]:
        """What `answer` would do with the request now, and what would change it."""
        asked = self._asked(request, hints)
        score = await self._scorer.score(request.conversation)
        threshold = self.config.classifier.threshold
        complexity = score.complexity if score else None
        route = decide(asked, self._state(), complexity, threshold, self._budget.left)
        return {
            "object": "smallfirst.route",
            "tier": route.tier,
            "model": self.config.tiers[route.tier].model,
            "cause": route.cause.value,
            "score": complexity,
            "threshold": threshold,
            "classifier": {
                "p_small": score.p_small,
                "p_large": score.p_large,
                "gain": score.gain,
                "familiar": score.familiar,
                "domain": score.domain,
                "artifact": score.artifact_id,
            }
            if score
            else None,
            "would_change": would_change(asked, self._state(), complexity, threshold),
        }

    def _asked(self, request: ParsedRequest, hints: Hints) -> Asked:
        now_s = asyncio.get_running_loop().time()
        return Asked(
            tier=self.names.tier(request.model),
            min_tier_large=hints.min_tier_large,
            local_only=hints.local_only or self.config.local_only,
            session_large=self._sessions.is_large(hints.session, now_s),
            needs=request.needs,
            media_hosts=request.media_hosts,
        )

    async def _route(self, asked: Asked, request: ParsedRequest, record: Record) -> Route:
        """Score where the score can matter, then decide."""
        if asked.tier is None:
            started_s = time.perf_counter()
            record.score = await self._scorer.score(request.conversation)
            record.score_s = time.perf_counter() - started_s
            self._budget.earn()
        complexity = record.score.complexity if record.score else None
        route = decide(
            asked,
            self._state(),
            complexity,
            self.config.classifier.threshold,
            self._budget.left,
        )
        if route.tier == "large" and route.cause is Cause.CLASSIFIER:
            self._budget.spend()
        return route

    async def _open(
        self, route: Route, asked: Asked, request: ParsedRequest, record: Record, deadline_s: float
    ) -> tuple["_Bytes", list[bytes]]:
        """An answer with its held first items, from the first tier that gives one.

        At most two tiers are asked: a route that is itself a fallback allows no other.
        """
        while True:
            record.route, record.attempts = route, record.attempts + 1
            domain = record.score.domain if record.score else None
            record.model = self.names.served(request.model, route.tier, domain)
            answer: _Bytes | None = None
            try:
                opened = await self._tiers[route.tier].open(
                    self._engine_request(request, asked, record, deadline_s), deadline_s
                )
                record.model = opened.model or record.model
                answer = _Bytes(opened)
                other = after_answer_check(route, self._state())
                if other is None:
                    return answer, []
                held = await first_content(answer, request.stream)
                if not is_empty_answer(held, request):
                    return answer, held
            except ServingError as error:
                # Held items were not sent: a failure among them is one before the first byte.
                other = after_failure(route, error, self._state())
            if answer is not None:
                await answer.close()
            route = other

    def _engine_request(
        self, request: ParsedRequest, asked: Asked, record: Record, deadline_s: float
    ) -> EngineRequest:
        adapters = self.names.adapters[record.route.tier] if record.route else {}
        return EngineRequest(
            endpoint=request.endpoint,
            body=request.body,
            request_id=record.request_id,
            local_only=asked.local_only,
            timeout_s=max(0.0, deadline_s - asyncio.get_running_loop().time()),
            adapter=record.model if record.model in adapters else None,
        )

    async def _bytes(
        self, answer: "_Bytes", held: list[bytes], record: Record
    ) -> AsyncIterator[bytes]:
        """The answer's bytes to the end, accounted for; errors on the way are raised."""
        try:
            for item in held:
                record.first_byte()
                yield item
            async for item in answer:
                record.first_byte()
                yield item
            record.usage = answer.usage
            self._finish(record, None)
        except BaseException as error:
            record.usage = answer.usage
            self._finish(record, error)
            raise
        finally:
            await answer.close()

    def _finish(self, record: Record, error: BaseException | None) -> None:
        """Close the record, once, and hand it over."""
        if record.total_s is not None:
            return
        tier = self.config.tiers[record.route.tier] if record.route is not None else None
        record.finish(error, tier)
        self._observe(record)

    def _state(self) -> Tiers:
        return Tiers(self._tier_state("small"), self._tier_state("large"))

    def _tier_state(self, name: TierName) -> TierState:
        tier = self.config.tiers[name]
        return TierState(self._health.up(name), tier.remote, tier.abilities, tier.media_hosts)


class _Bytes:
    """An answer's data without what is said beside it, and the tokens so far."""

    def __init__(self, answer: OpenAnswer) -> None:
        self._answer = answer
        self.usage = Usage(0, 0)

    def __aiter__(self) -> "_Bytes":
        return self

    async def __anext__(self) -> bytes:
        data = b""
        while not data:
            chunk = await anext(self._answer)
            self.usage, data = chunk.usage, chunk.data
        return data

    async def close(self) -> None:
        await self._answer.close()
