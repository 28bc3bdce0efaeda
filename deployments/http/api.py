"""HTTP in, HTTP out: bodies, keys, headers, SSE, OpenAI's error envelope. Decides nothing."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Path

from deployments.accounting.record import Record
from deployments.gateway.answering import Gateway, Hints
from deployments.http.api_keys import ApiKeys
from deployments.http.body import parse_body, read_body
from deployments.http.disconnect import unless_disconnected
from deployments.http.headers import bare_headers, hints, request_id, response_headers
from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import (
    MethodNotAllowed,
    ServingError,
    UnknownModel,
    UnknownPath,
)
from deployments.protocol.openai_request import ParsedRequest
from deployments.settings.app import TierName

CLIENT_CLOSED_REQUEST = 499

Handler = Callable[[Request], Awaitable[Response]]


def build_api(
    gateway: Gateway,
    api_keys: frozenset[str],
    running: Callable[[TierName], int],
) -> Starlette:
    """The ASGI application around a gateway.

    `running` counts the replicas of a tier that can answer now. With no `api_keys` the endpoint is
    open.
    """
    api = _Api(gateway, api_keys, running)
    app = Starlette(
        routes=[
            Path("/v1/chat/completions", api.guarded(api.chat), methods=["POST"]),
            Path("/v1/completions", api.guarded(api.completions), methods=["POST"]),
            Path("/v1/route", api.guarded(api.route), methods=["POST"]),
            Path("/v1/models", api.guarded(api.models), methods=["GET"]),
            Path("/v1/models/{model:path}", api.guarded(api.model), methods=["GET"]),
            Path("/healthz", api.healthz, methods=["GET"]),
            Path("/readyz", api.readyz, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )
    # A redirect would be an answer of its own shape, and to plain HTTP behind a TLS proxy.
    app.router.redirect_slashes = False
    return app


class _Api:
    def __init__(
        self, gateway: Gateway, api_keys: frozenset[str], running: Callable[[TierName], int]
    ) -> None:
        self._gateway = gateway
        self._keys = ApiKeys(api_keys)
        self._running = running

    def guarded(self, handler: Handler) -> Handler:
        """The handler behind the API key, with our errors as OpenAI's envelope."""

        async def guarded(request: Request) -> Response:
            try:
                self._keys.check(request.headers.get("authorization", ""))
                return await handler(request)
            except ServingError as error:
                return self._refused(handler.__name__, request, error)
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)

        return guarded

    def _refused(self, endpoint: str, request: Request, error: ServingError) -> Response:
        """The answer to a request that was wrong before anything was decided; it is counted too."""
        record = Record(
            request_id=request_id(request),
            endpoint=endpoint,
            asked_model="unknown",
            stream=False,
            started_s=time.perf_counter(),
        )
        self._gateway.refuse(record, error)
        return error_response(error, bare_headers(record.request_id))

    async def chat(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        return await self._answer("chat", request)

    async def completions(self, request: Request) -> Response:
        """`POST /v1/completions`."""
        return await self._answer("completions", request)

    async def route(self, request: Request) -> Response:
        """`POST /v1/route`: what a chat or completion body would do, without doing it."""
        raw, asked = await read_body(request, hints(request), self._gateway.config.gateway)
        return _json(await self._gateway.dry_run(await parse_body(None, raw), asked))

    async def models(self, _: Request) -> Response:
        """`GET /v1/models`."""
        return _json({"object": "list", "data": list(self._gateway.names.listing().values())})

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{model}`."""
        name = request.path_params["model"]
        listed = self._gateway.names.listing().get(name)
        if listed is None:
            raise UnknownModel(f"The model '{name[:100]}' does not exist.", "model")
        return _json(listed)

    async def healthz(self, _: Request) -> Response:
        """`GET /healthz`: this process answers."""
        return _json({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """`GET /readyz`: every tier that must be up is up, else 503; with replica counts."""
        tiers = {
            name: {"up": replicas > 0 or tier.scaling.min_replicas == 0, "replicas": replicas}
            for name, tier in self._gateway.config.tiers.items()
            for replicas in [self._running(name)]
        }
        ready = all(tier["up"] for tier in tiers.values())
        body = {"status": "ok" if ready else "unavailable", "tiers": tiers}
        return _json(body, status=200 if ready else 503)

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        raw, asked = await read_body(request, hints(request), self._gateway.config.gateway)
        parsed = await parse_body(endpoint, raw)
        record = Record(
            request_id=asked.request_id,
            endpoint=endpoint,
            asked_model=parsed.model if self._gateway.names.known(parsed.model) else "unknown",
            stream=parsed.stream,
            started_s=time.perf_counter(),
        )
        debug = request.headers.get("x-smallfirst-debug") == "true"
        try:
            work = self._collect(parsed, asked, record)
            answer = await unless_disconnected(request.receive, work)
        except ServingError as error:
            return error_response(error, response_headers(record, parsed, debug))
        headers = response_headers(record, parsed, debug)
        if isinstance(answer, bytes):
            return Response(answer, headers=headers, media_type="application/json")
        headers["cache-control"] = "no-cache"
        return StreamingResponse(_sse(answer), headers=headers, media_type="text/event-stream")

    async def _collect(
        self, parsed: ParsedRequest, asked: Hints, record: Record
    ) -> bytes | AsyncIterator[bytes]:
        """The whole JSON document, or the open stream of events."""
        items = await self._gateway.answer(parsed, asked, record)
        return items if parsed.stream else await _document(items)


def error_response(error: ServingError, headers: dict[str, str]) -> Response:
    """OpenAI's envelope for an error."""
    if error.retry_after_s is not None:
        headers = {**headers, "retry-after": str(error.retry_after_s)}
    return _json(error.envelope(), status=error.status, headers=headers)


async def _document(items: AsyncIterator[bytes]) -> bytes:
    """The one JSON document of an answer that is not streamed.

    It is whole when it is here: a replica that dies before it has said what the answer cost has
    still answered.
    """
    document = await anext(items)
    with suppress(ServingError):
        async for _ in items:
            pass
    return document


async def _sse(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events and `[DONE]`; after the first byte an error is one event and no `[DONE]`."""
    try:
        async for item in items:
            yield item
    except ServingError as error:
        yield b"data: " + orjson.dumps(error.envelope()) + b"\n\n"
        return
    yield b"data: [DONE]\n\n"


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405 in OpenAI's envelope."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        wrong: ServingError = MethodNotAllowed(f"{request.method} is not allowed here.")
    else:
        wrong = UnknownPath(f"Unknown request URL: {request.method} {request.url.path[:200]}.")
    return error_response(wrong, bare_headers(request_id(request)))


async def _internal_error(request: Request, _: Exception) -> Response:
    """A mistake of ours: the client gets the request's id, the log has the rest."""
    broken = ServingError("Internal error; the request id helps to find it in the logs.")
    return error_response(broken, bare_headers(request_id(request)))
