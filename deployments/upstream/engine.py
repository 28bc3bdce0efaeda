"""An engine that lives elsewhere: any OpenAI-compatible endpoint, over HTTP.

Up to the first token a failure can be tried again, here or on the other tier, so nothing is
yielded before it; after it, every failure is one `EngineFailure`.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

import httpx

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import DeadlineExceeded, EngineFailure, TierUnavailable
from deployments.settings.config_mistake import ConfigError
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.client import UpstreamClient
from deployments.upstream.stream import UpstreamStream, usage_of

# Seconds for the end of a finished stream to arrive, so that its connection can be used again.
DRAIN_S = 0.25
# OpenAI's rule of thumb for English, used only when an upstream counts nothing.
CHARS_PER_TOKEN = 4

T = TypeVar("T")
log = logging.getLogger(__name__)


class UpstreamEngine:
    """An `Engine` in front of an OpenAI-compatible endpoint."""

    def __init__(self, config: UpstreamConfig, api_key: str | None) -> None:
        if config.api_key_env and not api_key:
            raise ConfigError(
                f"api_key_env: the environment variable {config.api_key_env} is not set; "
                "set it to the key of the upstream, or remove api_key_env."
            )
        self._config = config
        self._api_key = api_key
        self._client: UpstreamClient | None = None
        self._in_flight = 0

    async def start(self) -> None:
        """Open the connection pool. Asks nothing of the upstream, which may be down for now."""
        self._client = UpstreamClient(self._config, self._api_key)

    async def stop(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    def dead(self) -> bool:
        """Never: an upstream that is down may come back, and a new replica would not help."""
        return False

    def load(self) -> EngineLoad:
        """Requests at the upstream; nothing is known of its queue.

        Progress is the clock: an answer can take minutes without a byte, and what hangs is ended
        by its time-outs, so this engine is never stalled.
        """
        return EngineLoad(running=self._in_flight, progress=time.monotonic_ns())

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
        """See `Engine.generate`; closing the iterator closes the upstream's stream at once."""
        if self._client is None:
            raise TierUnavailable("The upstream engine has not started.")
        answer = _UpstreamAnswer(request, self._config, self._client)
        self._in_flight += 1
        try:
            async for item in answer.items():
                if isinstance(item, Usage):
                    yield Chunk(b"", item, done=True)
                else:
                    yield Chunk(item, Usage(0, 0), content=True)
        finally:
            self._in_flight -= 1
            await answer.close()


class _UpstreamAnswer:
    """One request at the upstream, from the first try to the last byte."""

    def __init__(
        self, request: EngineRequest, config: UpstreamConfig, client: UpstreamClient
    ) -> None:
        self._request = request
        self._client = client
        self._response: httpx.Response | None = None
        self._read_timeout_s = config.read_timeout_s
        now = asyncio.get_running_loop().time()
        left_s = math.inf if request.timeout_s is None else request.timeout_s
        self._deadline = now + min(config.total_timeout_s, left_s)
        first_token_by = now + config.first_token_timeout_s
        self._begin_by = first_token_by if request.stream else self._deadline

    async def items(self) -> AsyncIterator[bytes | Usage]:
        """What `Engine.generate` yields."""
        opening = self._client.open(self._request, min(self._begin_by, self._deadline))
        self._response = await self._within(opening, self._begin_by)
        parts = self._events if self._request.stream else self._document
        try:
            async for item in parts(self._response):
                yield item
        except httpx.HTTPError as error:
            self._client.breaker.failed()
            raise EngineFailure("The connection to the upstream broke.") from error

    async def close(self) -> None:
        """Close the response, and with it the connection unless the answer was complete."""
        if self._response is not None:
            await self._response.aclose()

    async def _events(self, response: httpx.Response) -> AsyncIterator[bytes | Usage]:
        """Whole events, held back until the first token."""
        loop = asyncio.get_running_loop()
        stream = UpstreamStream(self._request.include_usage)
        chunks = response.aiter_bytes()
        held = b""
        while not stream.done:
            until = loop.time() + self._read_timeout_s if stream.begun else self._begin_by
            chunk = await self._within(anext(chunks, None), until)
            held += stream.end() if chunk is None else stream.feed(chunk)
            if held and (stream.begun or stream.done):
                self._client.breaker.succeeded()
                yield held
                held = b""
        await _drain(chunks)
        yield stream.usage or _estimated(self._request, stream.token_events)

    async def _document(self, response: httpx.Response) -> AsyncIterator[bytes | Usage]:
        raw = await self._within(response.aread(), self._begin_by)
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise EngineFailure("The upstream's answer is not JSON.") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise EngineFailure("The upstream's answer has no choices.")
        self._client.breaker.succeeded()
        yield raw
        yield usage_of(answer) or _estimated(self._request, len(raw) // CHARS_PER_TOKEN)

    async def _within(self, step: Awaitable[T], until: float) -> T:
        """What `step` returns, if it does so in time."""
        try:
            async with asyncio.timeout_at(min(until, self._deadline)):
                return await step
        except TimeoutError as error:
            if until >= self._deadline:
                raise DeadlineExceeded("The upstream's answer took too long.") from error
            self._client.breaker.failed()
            if self._begin_by == until:
                raise TierUnavailable("The upstream sent no token in time.") from error
            raise EngineFailure("The upstream fell silent in its answer.") from error


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read a finished stream to its end, so that its connection goes back to the pool."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in chunks:
                pass
    except (TimeoutError, httpx.HTTPError):
        pass  # the answer is complete; the connection is closed instead


def _estimated(request: EngineRequest, completion_tokens: int) -> Usage:
    """Usage of an answer whose upstream counted nothing."""
    log.warning("upstream: no usage for request %s, estimated", request.request_id)
    prompt = request.body.get("messages") or request.body.get("prompt")
    return Usage(len(json.dumps(prompt)) // CHARS_PER_TOKEN, completion_tokens)
