"""Asks an OpenAI-compatible endpoint, and asks again while no byte of an answer has come.

The one place where a request's text can leave the cluster: `_send` refuses those that must stay,
unless the upstream is inside it.
"""

import asyncio
import itertools
import json
import logging
import math
import random
from typing import NamedTuple

import httpx

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import LocalOnlyConflict, Overloaded, ServingError, TierUnavailable
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.breaker import Breaker
from deployments.upstream.errors import BROKEN, RETRIED, refusal, retry_after_s

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
# Enough for an OpenAI error object; a page of HTML is not worth reading to its end.
MAX_ERROR_BYTES = 64 * 2**10

log = logging.getLogger(__name__)


class _Failed(NamedTuple):
    """A try that failed."""

    error: ServingError
    # Seconds that the upstream wants to be left alone; None: trying again cannot help.
    wait_s: float | None


class UpstreamClient:
    """A connection pool, a breaker and a key for one upstream. Made inside the event loop."""

    def __init__(self, config: UpstreamConfig, api_key: str | None) -> None:
        self._config = config
        clock = asyncio.get_running_loop().time
        self.breaker = Breaker(config.breaker_failures, config.breaker_open_s, clock)
        headers = dict(config.headers)
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self._http = httpx.AsyncClient(
            http2=config.http2,
            headers=headers,
            # Reads are timed by what they wait for, above; httpx has one time for all of them.
            timeout=httpx.Timeout(config.connect_timeout_s, read=None),
            limits=httpx.Limits(
                max_connections=config.max_connections,
                max_keepalive_connections=config.max_connections,
                keepalive_expiry=config.keepalive_s,
            ),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def open(self, request: EngineRequest, until: float) -> httpx.Response:
        """The upstream's 200, its body unread, after as many tries as fit before `until`.

        Raises: `ServingError`, as `upstream.errors` has it.
        """
        for attempt in itertools.count():
            tried = await self._try(request)
            if isinstance(tried, httpx.Response):
                return tried
            left_s = until - asyncio.get_running_loop().time()
            wait_s = self._wait_s(attempt, tried, left_s)
            if wait_s is None:
                raise tried.error
            await asyncio.sleep(wait_s)
        raise AssertionError("itertools.count has no end")

    def _wait_s(self, attempt: int, failed: _Failed, left_s: float) -> float | None:
        """Seconds until the next try; None when there is none."""
        config = self._config
        if failed.wait_s is None or attempt >= config.max_retries:
            return None
        backoff_s = config.retry_backoff_s * 2**attempt * random.uniform(0.5, 1.5)
        wait_s = max(backoff_s, failed.wait_s)
        return wait_s if wait_s <= min(left_s, config.max_retry_wait_s) else None

    async def _try(self, request: EngineRequest) -> httpx.Response | _Failed:
        try:
            response = await self._send(request)
        except TierUnavailable as error:  # by the breaker
            return _Failed(error, None)
        except httpx.PoolTimeout:
            return _Failed(Overloaded("All connections to the upstream are in use."), None)
        except httpx.TransportError as error:
            self.breaker.failed()
            log.warning("upstream: %s on request %s", type(error).__name__, request.request_id)
            return _Failed(TierUnavailable("The upstream cannot be reached."), 0.0)
        return response if response.status_code == 200 else await self._refused(response)

    async def _send(self, request: EngineRequest) -> httpx.Response:
        """Send the request: the only line of the project by which a prompt leaves the cluster."""
        if request.local_only and not self._config.in_cluster:
            raise LocalOnlyConflict("This request must not leave the cluster.")
        if not self.breaker.allows():
            down = TierUnavailable("The upstream is down.")
            down.retry_after_s = max(1, math.ceil(self.breaker.retry_in_s))
            raise down
        body = request.body | {"model": self._config.model}
        if request.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        url = self._config.base_url + PATHS[request.endpoint]
        headers = {"x-request-id": request.request_id, "content-type": "application/json"}
        # json.dumps escapes lone surrogates, on which httpx's own encoding raises.
        content = json.dumps(body).encode()
        message = self._http.build_request("POST", url, content=content, headers=headers)
        return await self._http.send(message, stream=True)

    async def _refused(self, response: httpx.Response) -> _Failed:
        status = response.status_code
        if status in BROKEN:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        error = refusal(status, await _beginning(response), self._config.api_key_env)
        asked_s = retry_after_s(response.headers.get("retry-after"))
        if asked_s is not None and error.retry_after_s is not None:
            error.retry_after_s = max(1, math.ceil(asked_s))
        log.warning("upstream: HTTP %d", status)
        return _Failed(error, (asked_s or 0.0) if status in RETRIED else None)


async def _beginning(response: httpx.Response) -> bytes:
    """As much of an error's body as can be worth reading."""
    body = b""
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
    except httpx.HTTPError:
        pass  # the status alone says enough
    finally:
        await response.aclose()
    return body
