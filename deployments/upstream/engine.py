"""An engine that lives elsewhere: any OpenAI-compatible endpoint, over HTTP.

Up to the first token a failure can be tried again, here or on the other tier, so nothing is
yielded before it; after it, every failure is one `EngineFailure`.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

from deployments.egress.audit import AuditLog
from deployments.egress.door import Answer, Door, HTTPError
from deployments.privacy.policy import Policy
from deployments.protocol.chunk import PROGRESS_S, Chunk, Usage
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineFailure,
    ServingError,
    TierUnavailable,
)
from deployments.settings.environment import usable_key
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.client import UpstreamClient
from deployments.upstream.document import (
    as_events,
    count,
    parse_document,
    read_document,
    with_usage,
)
from deployments.upstream.kind import again, are_events, beginning, says_json
from deployments.upstream.restoring import restored
from deployments.upstream.stream import Piece, UpstreamStream

# Seconds for what follows the last token of a whole answer: its usage, [DONE].
END_S = 2.0
# Seconds for the end of a finished stream to arrive, so that its connection can be used again.
DRAIN_S = 0.25

T = TypeVar("T")


class UpstreamEngine:
    """An `Engine` in front of an OpenAI-compatible endpoint."""

    def __init__(
        self,
        config: UpstreamConfig,
        api_key: str | None,
        privacy: PrivacyConfig,
        audit: AuditLog | None = None,
    ) -> None:
        self._config = config
        self._api_key = usable_key(config.api_key_env, api_key)
        self._policy = Policy(privacy)
        self._audit = audit
        self._client: UpstreamClient | None = None
        self._in_flight = 0

    async def start(self) -> None:
        """Open the connection pool. Asks nothing of the upstream, which may be down for now."""
        door = Door(self._config, self._api_key, self._audit)
        self._client = UpstreamClient(self._config, door, self._policy)

    async def stop(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()
        if self._audit is not None:
            self._audit.close()

    def dead(self) -> bool:
        """Never: an upstream that is down may come back, and a new replica would not help."""
        return False

    def load(self) -> EngineLoad:
        """Requests at the upstream; nothing is known of its queue.

        Progress is the clock: an answer can take minutes without a byte, and what hangs is ended
        by its time-outs, so this engine is never stalled.
        """
        return EngineLoad(running=self._in_flight, progress=time.monotonic_ns())

    def closed(self) -> dict[str, bool]:
        """Whether requests are turned away for now: it is down, or asked to be left alone."""
        breaker = self._client.breaker if self._client is not None else None
        return {self._config.model: breaker is not None and (breaker.is_open or breaker.rests)}

    async def generate(
        self, request: EngineRequest, patient: bool = True
    ) -> AsyncGenerator[Chunk, None]:
        """See `Engine.generate`; closing the iterator closes the upstream's stream at once.

        Not `patient`: what fails is not tried again here.
        """
        if self._client is None:
            raise TierUnavailable("The upstream engine has not started.")
        answer = _UpstreamAnswer(request, self._config, self._client)
        answer.patient = patient
        self._in_flight += 1
        try:
            async for chunk in answer.chunks():
                yield chunk
        finally:
            self._in_flight -= 1
            await answer.close()


class _UpstreamAnswer:
    """One request at the upstream, from the first try to the last byte."""

    def __init__(
        self, request: EngineRequest, config: UpstreamConfig, client: UpstreamClient
    ) -> None:
        self._request = request
        self.patient = True
        self._client = client
        self._response: Answer | None = None
        self._bytes: AsyncIterator[bytes] | None = None
        self._stream = UpstreamStream(request)
        self._read_timeout_s = config.read_timeout_s
        self._asked_at = asyncio.get_running_loop().time()
        left_s = math.inf if request.timeout_s is None else request.timeout_s
        left_s = min(config.total_timeout_s, left_s)
        self._deadline = self._asked_at + left_s
        # A document shows its first token with its last.
        patience_s = min(config.first_token_timeout_s, config.first_token_share * left_s)
        self._begin_by = (
            self._asked_at + patience_s if client.dialect.streams(request) else self._deadline
        )

    async def chunks(self) -> AsyncIterator[Chunk]:
        """The answer; its last chunk is done, and what fails after the first token is an error."""
        self._response = await self._within(
            self._client.open(self._request, self._begin_by, self.patient), self._begin_by
        )
        try:
            is_stream, self._bytes = await self._told_apart(self._response)
            if is_stream:
                async for chunk in self._events(self._bytes):
                    yield chunk
            else:
                yield await self._document(self._bytes)
        except HTTPError as error:
            self._client.breaker.failed()
            raise EngineFailure("The connection to the upstream broke.") from error

    async def close(self) -> None:
        """Close the response, and with it the connection unless the answer was complete."""
        if self._response is None:
            return
        if self._bytes is not None and self._stream.done:
            await _drain(self._bytes)
        await self._response.aclose()

    async def _told_apart(self, answer: Answer) -> tuple[bool, AsyncIterator[bytes]]:
        """Whether events come, and the bytes with every original in its place."""
        read = answer.aiter_bytes()
        until = self._deadline if says_json(answer) else self._begin_by
        begun = await self._within(beginning(read), until)
        asked = self._client.dialect.streams(self._request)
        is_stream = are_events(begun, answer, asked)
        return is_stream, restored(again(begun, read), answer.masks, is_stream)

    async def _events(self, read: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
        """Whole events, held back until the first token; the document, where that is wanted."""
        stream, held, told_at = self._stream, Piece(), self._now()
        while not stream.done:
            begun = stream.begun
            some = await self._next(read)
            if some is None:
                break
            try:
                held = held.then(stream.feed(some))
            except ServingError:
                if stream.begun:  # what came with the break has been paid for
                    yield self._chunk(held, stream.meter.so_far())
                raise
            if stream.begun and not begun:
                told_at = self._now()
                self._client.breaker.began(told_at - self._asked_at)
            due = self._now() - told_at >= PROGRESS_S
            if stream.begun and not stream.done and (held.data or due):
                yield self._chunk(held, stream.meter.so_far())
                held, told_at = Piece(), self._now()
        last = held.then(stream.end())
        yield self._chunk(last, stream.meter.usage())._replace(done=True)

    async def _next(self, read: AsyncIterator[bytes]) -> bytes | None:
        """What comes next; None at the end, which a whole answer may reach without a word."""
        if not self._stream.finished:
            begun = self._stream.begun
            until = self._now() + self._read_timeout_s if begun else self._begin_by
            return await self._within(anext(read, None), until)
        try:
            async with asyncio.timeout(END_S):
                return await anext(read, None)
        except (TimeoutError, HTTPError):
            return None

    async def _document(self, read: AsyncIterator[bytes]) -> Chunk:
        """The whole answer from an upstream that does not stream."""
        raw = await self._within(read_document(read), self._deadline)
        answer, plain = parse_document(raw)
        self._client.breaker.succeeded()
        stream = self._stream
        if self._request.stream:
            begun = stream.feed(as_events(answer))
            count(answer, stream.meter)
            whole = begun.then(stream.end())
        else:
            count(answer, stream.meter)
            whole = Piece(with_usage(answer, plain, stream.meter), content=True)
        return self._chunk(whole, stream.meter.usage())._replace(done=True)

    def _chunk(self, piece: Piece, usage: Usage) -> Chunk:
        content = piece.content and bool(piece.data)
        estimated = not self._stream.meter.counted
        return Chunk(piece.data, usage, content, piece.finish_reason, estimated=estimated)

    async def _within(self, step: Awaitable[T], until: float) -> T:
        """What `step` returns, if it does so in time."""
        try:
            async with asyncio.timeout_at(min(until, self._deadline)):
                return await step
        except TimeoutError as error:
            raise self._late(until) from error

    def _late(self, until: float) -> ServingError:
        """What it means that nothing came in time."""
        breaker, begun = self._client.breaker, self._stream.begun
        if not begun:
            breaker.silent(self._now() - self._asked_at)
        if until >= self._deadline:
            return DeadlineExceeded("The upstream's answer took too long.")
        if not begun:
            return TierUnavailable("The upstream sent no token in time.")
        breaker.failed()
        return EngineFailure("The upstream fell silent in its answer.")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read a finished stream to its end, so that its connection goes back to the pool."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in chunks:
                pass
    except (TimeoutError, HTTPError):
        pass  # the answer is complete; the connection is closed instead
