"""Asks an OpenAI-compatible endpoint, and asks again while no byte of an answer has come.

Nothing leaves from here: what is sent passes the door (`egress.door`), which takes what the policy
has released and nothing else.
"""

import asyncio
import logging
import math
import random
from typing import Any, NamedTuple

from deployments.egress.door import (
    Answer,
    Door,
    HTTPError,
    PoolTimeout,
    TimeoutException,
    TransportError,
)
from deployments.privacy.payload import is_short
from deployments.privacy.policy import Policy
from deployments.privacy.releasable import Releasable
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.breaker import Breaker
from deployments.upstream.dialect import Dialect
from deployments.upstream.errors import BROKEN, RETRIED, meaning, retry_after_s
from deployments.upstream.provider_error import ProviderError, read_error

# Enough for an OpenAI error object; a page of HTML is not worth reading to its end.
MAX_ERROR_BYTES = 64 * 2**10
# Seconds for an error's body to arrive; the status alone says enough.
ERROR_BODY_S = 2.0
# Whoever asks for more is asked again after an hour: a date may come from a clock that is wrong.
LONGEST_REST_S = 3600.0
# The name of the length limit, `stream_options`, `stream`: what one request can teach.
MAX_LESSONS = 3

_BUSY = "The upstream asked to be left alone for now."

log = logging.getLogger(__name__)


class _Failed(NamedTuple):
    """A try that failed."""

    error: ServingError
    # Seconds that the upstream wants to be left alone; None: trying again cannot help.
    wait_s: float | None
    said: ProviderError | None = None


class UpstreamClient:
    """A door, a breaker and a dialect for one upstream. Made inside the event loop."""

    def __init__(self, config: UpstreamConfig, door: Door, policy: Policy) -> None:
        self._config = config
        self._door = door
        self._policy = policy
        clock = asyncio.get_running_loop().time
        self.breaker = Breaker(config.breaker_failures, config.breaker_open_s, clock)
        self.dialect = Dialect(config)

    async def close(self) -> None:
        """Close all connections."""
        await self._door.close()

    async def open(self, request: EngineRequest, until: float, patient: bool = True) -> Answer:
        """The upstream's 200, its body unread, after as many tries as fit before `until`.

        Not `patient`: after one, because somebody else is left to ask.

        Raises: `ServingError`, as `upstream.errors` has it, and where the policy lets nothing go.
        """
        attempt = lessons = 0
        body = self.dialect.body(request)
        leaving = await self._released(request, body)
        while True:
            tried = await self._try(request, leaving)
            if isinstance(tried, Answer):
                return tried
            sent, body = body, self._in_learned_words(request, body, tried)
            if body != sent and lessons < MAX_LESSONS:
                leaving = await self._released(request, body)
                lessons += 1
                continue
            left_s = until - asyncio.get_running_loop().time()
            wait_s = self._wait_s(attempt, tried, left_s) if patient else None
            if wait_s is None:
                raise tried.error
            await asyncio.sleep(wait_s)
            attempt += 1

    async def _released(self, request: EngineRequest, body: dict[str, Any]) -> Releasable:
        """What of the request may leave. Raises: `ServingError` where nothing may."""
        args = (request, body, self._door.destination)
        if self._door.destination.in_cluster or request.local_only or is_short(body):
            return self._policy.release(*args)
        return await asyncio.to_thread(self._policy.release, *args)

    def _in_learned_words(
        self, request: EngineRequest, sent: dict[str, Any], failed: _Failed
    ) -> dict[str, Any]:
        """The request again, as the refusal of `sent` asks for it."""
        if failed.said is None or type(failed.error) is not InvalidRequest:
            return sent
        self.dialect.learn(failed.said, sent)
        return self.dialect.body(request)

    def _wait_s(self, attempt: int, failed: _Failed, left_s: float) -> float | None:
        """Seconds until the next try; None when there is none."""
        config = self._config
        if failed.wait_s is None or attempt >= config.max_retries:
            return None
        backoff_s = config.retry_backoff_s * 2**attempt * random.uniform(0.5, 1.5)
        wait_s = max(backoff_s, failed.wait_s)
        return wait_s if wait_s <= min(left_s, config.max_retry_wait_s) else None

    async def _try(self, request: EngineRequest, leaving: Releasable) -> Answer | _Failed:
        try:
            response = await self._send(request, leaving)
        except (TierUnavailable, Overloaded) as error:  # by the breaker, or the audit log
            return _Failed(error, None)
        except PoolTimeout:
            return _Failed(Overloaded("All connections to the upstream are in use."), None)
        except TransportError as error:
            self.breaker.failed()
            log.warning("upstream: %s on request %s", type(error).__name__, request.request_id)
            # What was silent for so long is not asked again: the other tier answers sooner.
            wait_s = None if isinstance(error, TimeoutException) else 0.0
            return _Failed(TierUnavailable("The upstream cannot be reached."), wait_s)
        return response if response.status_code == 200 else await self._refused(response)

    async def _send(self, request: EngineRequest, leaving: Releasable) -> Answer:
        if not self.breaker.allows():
            raise self._left_alone()
        dialect = self._config.dialect
        path = dialect.chat_path if request.endpoint == "chat" else dialect.completions_path
        return await self._door.send(path, leaving, request.hops + 1)

    def _left_alone(self) -> ServingError:
        rests = self.breaker.rests
        error = Overloaded(_BUSY) if rests else TierUnavailable("The upstream is down.")
        error.retry_after_s = max(1, math.ceil(self.breaker.retry_in_s))
        return error

    async def _refused(self, response: Answer) -> _Failed:
        status = response.status_code
        said = read_error(await _beginning(response))
        error = meaning(status, said)
        if status in BROKEN and not isinstance(error, InvalidRequest):
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        asked_s = retry_after_s(response.headers.get("retry-after"))
        if asked_s is not None:
            asked_s = min(asked_s, LONGEST_REST_S)
        if asked_s is not None and status == 429:
            self.breaker.rest(asked_s)
        if asked_s is not None and error.retry_after_s is not None:
            error.retry_after_s = max(1, math.ceil(asked_s))
        key = self._config.api_key_env or "none is configured"
        advice = f"; look at its API key ({key})" if status in (401, 403) else ""
        log.warning("upstream: HTTP %d%s", status, advice)
        return _Failed(error, (asked_s or 0.0) if status in RETRIED else None, said)


async def _beginning(response: Answer) -> bytes:
    """As much of an error's body as can be worth reading."""
    body = b""
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ERROR_BYTES:
                    break
    except (HTTPError, TimeoutError):
        pass  # the status alone says enough
    finally:
        await response.aclose()
    return body[:MAX_ERROR_BYTES]
