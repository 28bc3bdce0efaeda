"""HTTP in, HTTP out: bodies, keys, headers, SSE, OpenAI's error envelope. Decides nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path

from deployments.accounting.exchange import Exchange
from deployments.gateway.answering import Gateway
from deployments.gateway.hints import Hints, tenant_of
from deployments.http.admin import Admin
from deployments.http.answer import CLIENT_CLOSED_REQUEST, AnswerResponse
from deployments.http.api_keys import ApiKeys, Caller, refuse_key_in_url
from deployments.http.body import parse_body, read_body
from deployments.http.elsewhere import elsewhere
from deployments.http.headers import (
    authorizations,
    bare_headers,
    dry_run_headers,
    hints,
    request_id,
)
from deployments.http.probes import Probes
from deployments.http.responses import json_response, refused
from deployments.http.web_pages import WebPages, allow_origins
from deployments.protocol.anthropic_request import parse_count
from deployments.protocol.api import Api
from deployments.protocol.errors import (
    InvalidRequest,
    MethodNotAllowed,
    ServingError,
    UnknownPath,
    unknown_model,
)
from deployments.protocol.token_request import (
    TokenRequest,
    counted,
    parse_detokenize,
    parse_tokenize,
)
from deployments.settings.app import TierName

Handler = Callable[[Request], Awaitable[Response]]


def build_api(
    gateway: Gateway,
    keys: ApiKeys,
    running: Callable[[TierName], int],
    on_loopback: bool,
    admin: Admin | None = None,
) -> Starlette:
    """The ASGI application around a gateway.

    `running` counts the replicas of a tier that can answer now; `on_loopback`: only this machine
    reaches the endpoint; `admin` answers for the accounts, where there are any.
    """
    config = gateway.config
    api = _Api(gateway, keys, WebPages(config.gateway, on_loopback, keys.is_open))
    app = Starlette(
        routes=[
            Path("/v1/chat/completions", api.guarded(api.chat), methods=["POST"]),
            Path("/v1/completions", api.guarded(api.completions), methods=["POST"]),
            Path("/v1/responses", api.guarded(api.responses), methods=["POST"]),
            Path("/v1/messages", api.guarded(api.messages), methods=["POST"]),
            Path("/v1/messages/count_tokens", api.guarded(api.count_tokens), methods=["POST"]),
            Path("/tokenize", api.guarded(api.tokenize), methods=["POST"]),
            Path("/detokenize", api.guarded(api.detokenize), methods=["POST"]),
            Path("/v1/route", api.guarded(api.route), methods=["POST"]),
            Path("/v1/models", api.guarded(api.models), methods=["GET"]),
            Path("/v1/models/{model:path}", api.guarded(api.model), methods=["GET"]),
            *(admin.routes(api.guarded) if admin else ()),
            *Probes(lambda: gateway.config.tiers, running).routes(),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )
    # A redirect would be an answer of its own shape, and to plain HTTP behind a TLS proxy.
    app.router.redirect_slashes = False
    allow_origins(app, config.gateway)
    return app


class _Api:
    def __init__(self, gateway: Gateway, keys: ApiKeys, pages: WebPages) -> None:
        self._gateway = gateway
        self._keys = keys
        self._pages = pages

    def guarded(self, handler: Handler, keys: ApiKeys | None = None) -> Handler:
        """The handler behind host, origin and API key, with our errors as OpenAI's envelope.

        `keys` are asked for instead of the endpoint's own.
        """

        async def guarded(request: Request) -> Response:
            # The head is here; what follows, the body's upload first, is time that a client waits.
            request.state.started_s = time.perf_counter()
            try:
                self._pages.check(request.headers)
                refuse_key_in_url(request.scope["path"], request.url.query)
                given = authorizations(request.headers)
                caller = (keys or self._keys).check(given)
                if keys is None:
                    request.state.caller = caller
                return await handler(request)
            except ServingError as error:
                return self._refused(handler.__name__, request, error)
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)

        return guarded

    def _refused(self, endpoint: str, request: Request, error: ServingError) -> Response:
        """The answer to a request that was wrong before anything was decided; it is counted too."""
        # Nobody's, where it is not known who asks.
        caller: Caller = getattr(request.state, "caller", Caller())
        exchange = Exchange(
            request_id(request),
            endpoint,
            "unknown",
            False,
            request.state.started_s,
            key_id=caller.key_id,
            tenant=tenant_of(caller.key),
        )
        self._gateway.refuse(exchange, error)
        return refused(request.url.path, error, bare_headers(exchange.request_id))

    async def chat(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        return await self._answer("chat", request)

    async def completions(self, request: Request) -> Response:
        """`POST /v1/completions`."""
        return await self._answer("completions", request)

    async def responses(self, request: Request) -> Response:
        """`POST /v1/responses`."""
        return await self._answer("responses", request)

    async def messages(self, request: Request) -> Response:
        """`POST /v1/messages`."""
        return await self._answer("messages", request)

    async def count_tokens(self, request: Request) -> Response:
        """`POST /v1/messages/count_tokens`."""
        found, asked = await self._tokens(request, lambda raw: counted(parse_count(raw)))
        count = {"input_tokens": orjson.loads(found)["count"]}
        return json_response(count, bare_headers(asked.request_id))

    async def tokenize(self, request: Request) -> Response:
        """`POST /tokenize`: vLLM's."""
        found, asked = await self._tokens(request, parse_tokenize)
        return Response(found, 200, bare_headers(asked.request_id), "application/json")

    async def detokenize(self, request: Request) -> Response:
        """`POST /detokenize`: vLLM's."""
        found, asked = await self._tokens(request, parse_detokenize)
        return Response(found, 200, bare_headers(asked.request_id), "application/json")

    async def route(self, request: Request) -> Response:
        """`POST /v1/route`: what a body of any API would do, without doing it."""
        raw, asked = await read_body(request, hints(request), self._gateway.config.gateway)
        # Anthropic's clients always say which version of their API they speak.
        api: Api | None = "messages" if "anthropic-version" in request.headers else None
        parsed, _ = await parse_body(api, raw)
        decision = await self._gateway.dry_run(parsed, asked)
        return json_response(decision, dry_run_headers(asked.request_id, decision))

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        listed = list(self._gateway.names.listing().values())
        headers = bare_headers(request_id(request))
        # Anthropic's clients page through what OpenAI's read as it is.
        ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"], "has_more": False}
        return json_response({"object": "list", "data": listed, **ends}, headers)

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{model}`."""
        name = request.path_params["model"]
        listed = self._gateway.names.listing().get(name)
        if listed is None:
            raise unknown_model(name)
        return json_response(listed, bare_headers(request_id(request)))

    async def _tokens(
        self, request: Request, parse: Callable[[bytes], TokenRequest]
    ) -> tuple[bytes, Hints]:
        raw, asked = await read_body(request, hints(request), self._gateway.config.gateway)
        wanted = await asyncio.to_thread(parse, raw)
        return await self._gateway.counting.document(wanted, asked), asked

    async def _answer(self, api: Api, request: Request) -> Response:
        raw, asked = await read_body(request, hints(request), self._gateway.config.gateway)
        parsed, telling = await parse_body(api, raw)
        answering = self._gateway.admit(parsed, asked, request.state.started_s)
        debug = request.headers.get("x-smallfirst-debug") == "true"
        return AnswerResponse(answering, telling, debug)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405 in OpenAI's envelope; `OPTIONS` where a path has methods."""
    headers = bare_headers(request_id(request))
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "").split(", ")
        headers["allow"] = ", ".join(sorted({*allowed, "OPTIONS"}))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        refusal = MethodNotAllowed(f"{request.method} is not allowed here.")
        return refused(request.url.path, refusal, headers)
    path = request.url.path
    try:
        refuse_key_in_url(request.scope["path"], request.url.query)
    except InvalidRequest as refusal_of_key:
        return refused(path, refusal_of_key, headers)
    shown = "".join(character if character.isprintable() else "?" for character in path[:200])
    where = f"{request.method} {shown}"
    unknown = UnknownPath(" ".join([f"Unknown request URL: {where}.", *elsewhere(path)]))
    return refused(path, unknown, headers)


async def _internal_error(request: Request, _: Exception) -> Response:
    """A mistake of ours: the client gets the request's id, the log has the rest."""
    broken = ServingError("Internal error; the request id helps to find it in the logs.")
    return refused(request.url.path, broken, bare_headers(request_id(request)))
