"""The one way to an endpoint outside the cluster: what is not released by the policy stays here.

No other module of the server opens a connection that could lead outside; import contracts and
`tests/unit/deployments/test_one_door.py` hold that. Who asks through it knows no HTTP library, only
what stands here.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from httpx import HTTPError, InvalidURL, PoolTimeout, TimeoutException, TransportError

from deployments.egress.audit import AuditLog
from deployments.privacy.releasable import Destination, Releasable
from deployments.settings.config_mistake import ConfigError
from deployments.settings.upstream import UpstreamConfig

__all__ = ["Answer", "Door", "HTTPError", "PoolTimeout", "TimeoutException", "TransportError"]


class Answer:
    """What came back: its head is here, its body unread."""

    def __init__(self, response: httpx.Response, masks: Mapping[str, str]) -> None:
        self._response = response
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.masks = masks
        """What the placeholders in it stand for."""

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises: `HTTPError`."""
        return self._response.aiter_bytes()

    async def aclose(self) -> None:
        """Close it, and its connection unless it was read to its end."""
        await self._response.aclose()


class Door:
    """A connection pool to one endpoint. Made inside the event loop."""

    def __init__(self, config: UpstreamConfig, api_key: str | None, audit: AuditLog | None) -> None:
        self.destination = Destination(config.base_url, config.in_cluster)
        self._audit = audit
        self._http = _http(config, api_key)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(self, path: str, leaving: Releasable, hops: int = 1) -> Answer:
        """Send what was released, by POST to `path` below the endpoint, as its `hops`-th way
        through a service like this one.

        Raises: `TypeError` for anything else; `TransportError`; `TierUnavailable` where it cannot
        be recorded that it leaves.
        """
        if type(leaving) is not Releasable or leaving.destination != self.destination:
            raise TypeError("this was not released to this endpoint")
        headers = {
            "x-request-id": leaving.request_id,
            "content-type": "application/json",
            # Tells a service like this one where its requests go round.
            "x-smallfirst-hops": str(hops),
        }
        message = self._http.build_request(
            "POST", self.destination.url + path, content=leaving.content, headers=headers
        )
        if self._audit is not None and not self.destination.in_cluster:
            self._audit.write(leaving)
        try:
            return Answer(await self._http.send(message, stream=True), leaving.masks)
        except InvalidURL:  # of a redirect: httpx reads where it leads, although we do not follow
            raise TransportError("The upstream's redirect leads nowhere.") from None


def _http(config: UpstreamConfig, api_key: str | None) -> httpx.AsyncClient:
    """The pool. Raises: `ConfigError` where the authorities' file is not one."""
    # Compressed events come late, and a small body could unpack to one without end.
    headers = httpx.Headers({"accept-encoding": "identity"})
    headers.update(config.headers)
    if api_key:
        headers[config.dialect.auth_header] = config.dialect.auth_prefix + api_key
    try:
        verify = ssl.create_default_context(cafile=config.ca_file) if config.ca_file else True
    except OSError as error:
        raise ConfigError(f"ca_file: {config.ca_file}: {error.strerror or 'no PEM file'}") from None
    return httpx.AsyncClient(
        trust_env=False,
        # A redirect would take what was released to one endpoint to another.
        follow_redirects=False,
        proxy=config.proxy,
        verify=verify,
        http2=config.http2,
        headers=headers,
        params=config.dialect.query,
        # Takes none: one caller's answer would mark the requests of all others.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # Reads are timed by what they wait for, by who asks; httpx has one time for all of them.
        timeout=httpx.Timeout(config.connect_timeout_s, read=None),
        limits=httpx.Limits(
            max_connections=config.max_connections,
            max_keepalive_connections=config.max_connections,
            keepalive_expiry=config.keepalive_s,
        ),
    )
