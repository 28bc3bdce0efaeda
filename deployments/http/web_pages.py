"""What web pages in somebody's browser may do here: by host, by origin, and what CORS tells them.

Any page that a user opens can send requests to an endpoint on the user's own machine. Without a key
to ask for, the `Origin` that browsers add tells such a page from a program, and the `Host` tells a
page whose own name was made to point here.
"""

import re

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from deployments.http.headers import DEBUG_HEADERS, DECISION_HEADERS, fresh_headers
from deployments.http.responses import error_response
from deployments.protocol.errors import HostNotAllowed, OriginNotAllowed
from deployments.settings.access import is_loopback
from deployments.settings.app import GatewayConfig

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{0,5})?", re.IGNORECASE)
# OpenAI's names beside ours: what a page may read of an answer.
RATE_HEADERS = [
    "retry-after",
    *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset")
      for of in ("requests", "tokens")),
]  # fmt: skip


class WebPages:
    """Refuses hosts that are not ours, and, where no key is asked for, pages that may not ask."""

    def __init__(self, config: GatewayConfig, on_loopback: bool, is_open: bool) -> None:
        names = set(config.allowed_hosts)
        self._names = names
        self._checks_host = (on_loopback or bool(names)) and "*" not in names
        self._origins = set(config.cors_origins)
        self._checks_origin = is_open and "*" not in self._origins

    def check(self, headers: Headers) -> None:
        """Let a request pass. Raises: `HostNotAllowed`, `OriginNotAllowed`."""
        hosts = headers.getlist("host")
        if self._checks_host and not (hosts and all(map(self._ours, hosts))):
            raise HostNotAllowed(
                "This endpoint does not answer for the host in the Host header; "
                "gateway.allowed_hosts names those that it does."
            )
        if self._checks_origin:
            for origin in headers.getlist("origin"):
                if origin.lower() not in self._origins and not _same_origin(origin, hosts):
                    raise OriginNotAllowed(
                        "This endpoint asks for no API key, so web pages of other origins may not "
                        "use it; gateway.cors_origins names those that may."
                    )

    def _ours(self, host: str) -> bool:
        """Whether a `Host` names this endpoint."""
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].lower().rstrip(".").removeprefix("[").removesuffix("]")
        above = name.split(".")
        wildcards = {"*." + ".".join(above[i:]) for i in range(1, len(above))}
        return is_loopback(name) or name in self._names or not wildcards.isdisjoint(self._names)


def _same_origin(origin: str, hosts: list[str]) -> bool:
    """Whether the page came from where it asks."""
    return hosts == [origin.lower().partition("://")[2]]


class Cors(CORSMiddleware):
    """Starlette's, with a refused preflight in OpenAI's envelope."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a page's preflight."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refused = OriginNotAllowed(f"{bytes(answer.body).decode()}.")
        return error_response(refused, {**fresh_headers(), "vary": answer.headers["vary"]})


def allow_origins(app: Starlette, config: GatewayConfig) -> None:
    """Tell the configured web pages that they may ask, and what they may read of an answer."""
    if config.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=[
                *DECISION_HEADERS,
                "request-id",
                "x-request-id",
                *DEBUG_HEADERS,
                *RATE_HEADERS,
            ],
        )
