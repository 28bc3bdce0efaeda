"""The names that load balancers, benchmarks and people ask for first; none of them needs a key."""

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.http.headers import bare_headers, request_id
from deployments.http.responses import json_response
from deployments.settings.app import TierConfig, TierName
from deployments.settings.environment import cluster_mark


class Probes:
    """Whether this process lives, whether it can answer, and what it is."""

    def __init__(
        self,
        tiers: Callable[[], Mapping[TierName, TierConfig]],
        running: Callable[[TierName], int],
    ) -> None:
        """`tiers` are those of now."""
        self._tiers = tiers
        self._running = running
        self._about = {"name": "smallfirst", "version": _version(), "api": "/v1"}

    def routes(self) -> list[Route]:
        """A route for each name; `HEAD` comes with `GET`."""
        handlers: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self.root,
            "/version": self.version,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            # vLLM's names, which guidellm, aiperf and SageMaker ask for.
            "/health": self.health,
            "/ping": self.health,
        }
        return [Route(path, handler, methods=["GET"]) for path, handler in handlers.items()]

    async def root(self, request: Request) -> Response:
        """`GET /`: what this is, and where the API begins."""
        return _json(request, self._about)

    async def version(self, request: Request) -> Response:
        """`GET /version`: ours."""
        return _json(request, {"version": self._about["version"]})

    async def healthz(self, request: Request) -> Response:
        """`GET /healthz`: this process answers."""
        return _json(request, {"status": "ok"})

    async def health(self, request: Request) -> Response:
        """`GET /health`, `GET /ping`: some tier is up, so that requests are answered; else 503."""
        up = any(self._up(name) for name in self._tiers())
        return _json(request, {"status": "ok" if up else "unavailable"}, 200 if up else 503)

    async def readyz(self, request: Request) -> Response:
        """`GET /readyz`: every tier that must be up is up, else 503; with replica counts, and the
        local cluster's mark, by which `smallfirst swap` finds it."""
        tiers = {
            name: {"up": self._up(name), "replicas": self._running(name)} for name in self._tiers()
        }
        ready = all(map(self._up, tiers))
        status = "ok" if ready else "unavailable"
        body = {"status": status, "tiers": tiers, "cluster": cluster_mark()}
        return _json(request, body, 200 if ready else 503)

    def _up(self, name: TierName) -> bool:
        return self._running(name) > 0 or self._tiers()[name].scaling.min_replicas == 0


def _json(request: Request, body: object, status: int = 200) -> Response:
    return json_response(body, bare_headers(request_id(request)), status)


def _version() -> str:
    try:
        return version("smallfirst")
    except PackageNotFoundError:
        return "unknown"
