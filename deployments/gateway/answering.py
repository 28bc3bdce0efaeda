"""A request's way through the system, top to bottom: refuse, score, decide, open, pass on, settle.

Knows neither HTTP (`http/`) nor Ray: it is handed its ports, and is tested with plain objects in
their place.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from types import TracebackType
from typing import Any

from deployments.accounting.exchange import Exchange
from deployments.gateway.attempts import Attempts, Job
from deployments.gateway.counting import Counting
from deployments.gateway.deciding import Case, Deciding
from deployments.gateway.hints import Hints, tenant_of
from deployments.gateway.judge import Judge
from deployments.gateway.opened import Opened
from deployments.gateway.paying import Paid, Paying, not_permitted
from deployments.gateway.ports import Ports
from deployments.protocol.errors import DeadlineExceeded, EngineDead, EngineKilled, ServingError
from deployments.protocol.openai_request import ParsedRequest
from deployments.routing.explain import would_change
from deployments.routing.killers import DEATHS
from deployments.routing.model_names import ModelNames
from deployments.routing.route import decide
from deployments.settings.app import AppConfig


class Gateway:
    """Answers requests from two tiers, the small one first."""

    def __init__(self, config: AppConfig, ports: Ports) -> None:
        self.ports = ports
        self.configure(config)

    def configure(self, config: AppConfig) -> None:
        """Answer by these settings from now on; what was admitted before is answered as it was."""
        self.config = config
        self.names = ModelNames(config)
        self.deciding = Deciding(config, self.names, self.ports)
        self.counting = Counting(config, self.names, self.ports)
        self.paying = Paying(config, self.ports.accounts)
        self.attempts = Attempts(self.paying, Judge(config), self.deciding, self.ports)

    def admit(self, request: ParsedRequest, hints: Hints, started_s: float) -> "Answering":
        """The request's answer, to be opened inside an `async with`.

        `started_s` is when it arrived, on `time.perf_counter`'s clock.
        """
        asked_model = request.model if self.names.known(request.model) else "unknown"
        exchange = Exchange(
            hints.request_id,
            request.api or request.endpoint,
            asked_model,
            request.stream,
            started_s,
            key_id=hints.key_id,
            tenant=tenant_of(hints.key),
        )
        return Answering(self, request, hints, exchange)

    def refuse(self, exchange: Exchange, error: ServingError) -> None:
        """Account for a request that was wrong before it could be admitted."""
        exchange.settle(error, self.ports.settle)

    async def dry_run(self, request: ParsedRequest, hints: Hints) -> dict[str, Any]:
        """What an answer would come from now, and what would change it."""
        case = await self.deciding.case(request, hints)
        case = case.barred(not_permitted(hints.key, request.model, case.asked))
        score = await self.deciding.score(case)
        signals, policy = self.deciding.signals(case, score), self.deciding.policy(case)
        route = decide(signals, policy)
        return {
            "object": "smallfirst.route",
            "tier": route.tier,
            "model": self.names.served(request.model, route.tier, case.domain(score)),
            "cause": route.cause.value,
            "score": signals.score,
            "threshold": policy.threshold,
            "escalation": asdict(self.ports.state.rate),
            "local_by": list(case.local_by),
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
            "would_change": would_change(signals, policy),
        }


class Answering:
    """One admitted request: `async with` it, `open` it, iterate for the answer's bytes.

    Whatever happens inside the `async with`, the exchange is settled once and the generation is
    stopped when it is left, also where nothing was opened or nobody iterated.
    """

    def __init__(
        self, gateway: Gateway, request: ParsedRequest, hints: Hints, exchange: Exchange
    ) -> None:
        self.request = request
        self.exchange = exchange
        self._gateway = gateway
        # As they are now: settings may change meanwhile.
        self._deciding, self._attempts = gateway.deciding, gateway.attempts
        self._paying = gateway.paying
        self._hints = hints
        self._opened: Opened | None = None
        # On the event loop's clock, once it is opened.
        self.deadline_s = math.inf

    async def __aenter__(self) -> "Answering":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose(error)

    async def aclose(self, error: BaseException | None = None) -> None:
        """Settle, and stop the generation where it still runs. Safe to call again."""
        self.exchange.settle(error, self._gateway.ports.settle)
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def open(self) -> None:
        """Return when the answer has begun. Raises: `ServingError`, before any byte of it."""
        limit_s = self._gateway.config.gateway.max_request_s
        seconds = min(self._hints.timeout_s or limit_s, limit_s)
        self.deadline_s = asyncio.get_running_loop().time() + seconds
        try:
            self._deciding.refuse_killer(self.request, self._hints)
            self._opened = await self._open()
        except BaseException as error:
            self.exchange.end(error)
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The answer's bytes to the end. Raises: `ServingError` where it breaks off."""
        if self._opened is None:
            return
        exchange = self.exchange
        try:
            async for chunk in self._opened.chunks():
                if chunk.data:
                    exchange.first_byte()
                    yield chunk.data
            exchange.end(None)
        except BaseException as error:
            if isinstance(error, EngineDead):
                self._deciding.engine_died(self.request, self._hints, 1)
            exchange.end(error)
            raise

    async def _open(self) -> Opened:
        """Score, decide, ask the tiers, remember who answered."""
        loop, exchange, hints = asyncio.get_running_loop(), self.exchange, self._hints
        try:
            async with asyncio.timeout_at(self.deadline_s):
                case = await self._deciding.case(self.request, hints)
                paid = await self._admit(case, self.deadline_s - loop.time())
                case = case.barred(paid.barred)
                await self._score(case)
        except TimeoutError:
            raise DeadlineExceeded("The deadline passed before the request began.") from None
        decided = self._deciding.decided(case, exchange.score)
        exchange.threshold = decided.threshold
        domain = case.domain(exchange.score)
        job = Job(
            self.request,
            case.asked,
            domain,
            hints.request_id,
            self.deadline_s,
            paid,
            score=exchange.score,
            checked=hints.answer_check,
            hops=hints.hops,
        )
        try:
            opened = await self._attempts.open(decided.route, job, exchange)
        except EngineKilled:
            self._deciding.engine_died(self.request, hints, DEATHS)
            raise
        finally:
            self._deciding.claimed(decided, exchange.attempts)
        self._deciding.answered(case, opened.attempt, exchange.score)
        return opened

    async def _admit(self, case: Case, seconds: float) -> Paid:
        self._gateway.ports.opened(self.exchange)
        return await self._paying.admit(case, self.exchange, seconds)

    async def _score(self, case: Case) -> None:
        if self._deciding.judged(case):
            started_s = time.perf_counter()
            self.exchange.score = await self._deciding.score(case)
            self.exchange.score_s = time.perf_counter() - started_s
