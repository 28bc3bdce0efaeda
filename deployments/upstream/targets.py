"""Several upstreams as one engine: asked in order, each left alone while it is down or busy.

The next is asked only where nothing of an answer was handed on. A request that must stay in the
cluster, or needs what a model cannot do, passes by the targets that are not for it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    LocalOnlyConflict,
    ServingError,
    TierUnavailable,
)
from deployments.settings.targets import Capability, Target, TargetsConfig, able
from deployments.upstream.engine import UpstreamEngine

log = logging.getLogger(__name__)


class TargetsEngine:
    """An `Engine` in front of several OpenAI-compatible endpoints."""

    def __init__(
        self,
        config: TargetsConfig,
        capabilities: frozenset[Capability],
        engine_of: Callable[[Target], UpstreamEngine],
    ) -> None:
        """`capabilities` are those of targets that do not say."""
        self._capabilities = capabilities
        self._targets = [(target, engine_of(target)) for target in config.targets]

    async def start(self) -> None:
        """Open the connection pools."""
        for _, engine in self._targets:
            await engine.start()

    async def stop(self) -> None:
        """Close all connections."""
        for _, engine in self._targets:
            await engine.stop()

    def dead(self) -> bool:
        """Never: upstreams that are down may come back."""
        return False

    def load(self) -> EngineLoad:
        """Requests at all of them."""
        running = sum(engine.load().running for _, engine in self._targets)
        return EngineLoad(running=running, progress=time.monotonic_ns())

    def closed(self) -> dict[str, bool]:
        """By target, whether it is left alone now: its breaker is open, or it asked for that."""
        return {target.name: any(engine.closed().values()) for target, engine in self._targets}

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
        """The first answer that begins; see `Engine.generate`."""
        deadline_s = _now_s() + request.timeout_s if request.timeout_s is not None else None
        fitting = [one for one in self._targets if self._is_for(one[0], request)]
        spent, failed = Usage(0, 0), list[ServingError]()
        for target, engine in fitting:
            handed_on, usage = False, Usage(0, 0)
            # Where another is left to ask, it answers sooner than a busy one after a pause.
            left_s = None if deadline_s is None else max(0.0, deadline_s - _now_s())
            asked = replace(request, timeout_s=left_s)
            patient = target is fitting[-1][0]
            try:
                async with aclosing(engine.generate(asked, patient=patient)) as answer:
                    async for chunk in answer:
                        usage = chunk.usage
                        handed_on = handed_on or bool(chunk.data)
                        total = Usage(*map(sum, zip(spent, usage, strict=True)))
                        yield chunk._replace(model=target.name, usage=total)
                return
            except ServingError as error:
                if handed_on or not _may_fare_better(error):
                    raise
                log.warning(
                    "target %s: %s on request %s; the next is asked",
                    *(target.name, error.code, request.request_id),
                )
                spent = Usage(*map(sum, zip(spent, usage, strict=True)))
                failed.append(error)
        raise _of_all(failed)

    def _is_for(self, target: Target, request: EngineRequest) -> bool:
        if request.local_only and not target.in_cluster:
            return False
        return set(request.needs) <= able(target, self._capabilities) and (
            set(request.media_hosts) <= set(target.allowed_media_domains)
        )


def _may_fare_better(error: ServingError) -> bool:
    """Whether another may answer what this one did not, or must not be sent."""
    return error.retryable or isinstance(error, ContextLengthExceeded | LocalOnlyConflict)


def _of_all(failed: list[ServingError]) -> ServingError:
    """What to say when nobody answered: the last word of those that may answer later, else of all,
    and the soonest time to come back."""
    if not failed:
        return TierUnavailable("No target of this tier may answer this request.")
    # Too long for one target's window is not too long for another that is down just now.
    error = ([one for one in failed if one.retryable] or failed)[-1]
    waits = [one.retry_after_s for one in failed if one.retry_after_s is not None]
    if error.retry_after_s is not None:
        error.retry_after_s = min(waits)
    return error


def _now_s() -> float:
    return asyncio.get_running_loop().time()
