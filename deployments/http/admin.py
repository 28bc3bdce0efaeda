"""What an administrator asks over HTTP, under a prefix and with keys of its own."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from deployments.accounting.reporting import since_of
from deployments.http.api_keys import ApiKeys
from deployments.http.headers import bare_headers, request_id
from deployments.http.responses import json_response
from deployments.protocol.errors import BodyTooLarge, InvalidRequest
from deployments.store.reading import BY

PREFIX = "/admin"
MAX_BODY_BYTES = 64 * 1024
Document = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
# Hands a question to the owner of the accounts; gives an HTTP status and a document.
# Raises: `AccountsUnavailable`.
Ask = Callable[[Document], Awaitable[tuple[int, Document]]]


class Guarded(Protocol):
    """Puts the endpoint's own checks, with these keys instead of its own, before a handler."""

    def __call__(self, handler: Handler, keys: ApiKeys | None = None) -> Handler:
        """The guarded handler."""


class Admin:
    """Hands questions to the owner of the accounts."""

    def __init__(self, ask: Ask, keys: ApiKeys | None) -> None:
        """`keys` open the administration; None: it is switched off, and its paths are unknown."""
        self._ask = ask
        self._keys = keys

    def routes(self, guarded: Guarded) -> list[Path]:
        """The paths."""
        # Whoever may ask for answers may see what those of his key have cost.
        own = Path("/v1/savings", guarded(self.savings), methods=["GET"])
        if self._keys is None:
            return [own]
        listed, key = f"{PREFIX}/keys", f"{PREFIX}/keys/{{key_id}}"
        paths: list[tuple[str, str, Handler]] = [
            (listed, "GET", self.list_keys),
            (listed, "POST", self.create),
            (key, "GET", self.show),
            (f"{key}/rotate", "POST", self.rotate),
            (f"{key}/revoke", "POST", self.revoke),
            (f"{PREFIX}/savings", "GET", self.savings),
        ]
        return [
            own,
            *(
                Path(path, guarded(handler, self._keys), methods=[method])
                for path, method, handler in paths
            ),
        ]

    async def list_keys(self, request: Request) -> Response:
        """`GET /admin/keys`."""
        return await self._answer(request, {"do": "list"})

    async def create(self, request: Request) -> Response:
        """`POST /admin/keys`: `name`, `limits`, `expires_in_s`; the one time its text is shown."""
        return await self._answer(request, {"do": "create", **await _body(request, CREATE)})

    async def show(self, request: Request) -> Response:
        """`GET /admin/keys/{key_id}`, with what is spent of its caps."""
        return await self._answer(request, {"do": "show", "key_id": _key_id(request)})

    async def rotate(self, request: Request) -> Response:
        """`POST /admin/keys/{key_id}/rotate`: `overlap_s`."""
        asked = await _body(request, ROTATE)
        return await self._answer(request, {"do": "rotate", "key_id": _key_id(request), **asked})

    async def revoke(self, request: Request) -> Response:
        """`POST /admin/keys/{key_id}/revoke`."""
        return await self._answer(request, {"do": "revoke", "key_id": _key_id(request)})

    async def savings(self, request: Request) -> Response:
        """`GET /v1/savings`, of the caller's key (of requests without one, where none is asked
        for); `GET /admin/savings`, of all: `since`, `by`."""
        asked = request.query_params
        if unknown := sorted(set(asked) - {"since", "by"}):
            raise InvalidRequest(f"'{unknown[0][:60]}' is unknown: only since and by.")
        try:
            since_s = since_of(asked.get("since"))
        except ValueError as error:
            raise InvalidRequest(f"since: {error}", "since") from None
        by = asked.get("by")
        if by is not None and by not in BY:
            raise InvalidRequest(f"by: one of {', '.join(BY)}.", "by")
        whole = request.url.path.startswith(PREFIX)
        key_id = None if whole else request.state.caller.key_id
        question = {"do": "report", "since_s": since_s, "by": by, "key_id": key_id}
        return await self._answer(request, question)

    async def _answer(self, request: Request, question: Document) -> Response:
        status, document = await self._ask(question)
        # The answer may hold a secret: nobody on the way may keep it.
        headers = {**bare_headers(request_id(request)), "cache-control": "no-store"}
        return json_response(document, headers, status)


CREATE = frozenset({"name", "limits", "expires_in_s"})
ROTATE = frozenset({"overlap_s"})


def _key_id(request: Request) -> str:
    return str(request.path_params["key_id"])


async def _body(request: Request, known: frozenset[str]) -> Document:
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body is over {MAX_BODY_BYTES} bytes.")
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    if unknown := sorted(body.keys() - known):
        raise InvalidRequest(f"'{unknown[0][:60]}' is unknown: only {', '.join(sorted(known))}.")
    return {name: value for name, value in body.items() if value is not None}
