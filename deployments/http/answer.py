"""An admitted request's answer as an HTTP response: one document, or events and `[DONE]`."""

from collections.abc import AsyncIterator

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.gateway.answering import Answering
from deployments.http.disconnect import unless_disconnected
from deployments.http.headers import response_headers
from deployments.http.responses import error_response
from deployments.protocol.errors import ServingError

CLIENT_CLOSED_REQUEST = 499
# nginx gathers an answer before it passes it on, unless the answer says otherwise.
NOT_HELD_BACK = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class AnswerResponse(Response):
    """Opens the answer and sends it; the request is settled when this is left, however."""

    def __init__(self, answering: Answering, debug: bool) -> None:
        self._answering = answering
        self._debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        async with self._answering:
            response = await self._open(receive)
            try:
                await response(scope, receive, send)
            except ClientDisconnect:
                # Nobody is left to be told; the exchange ends as cancelled.
                return

    async def _open(self, receive: Receive) -> Response:
        """What to send, once the answer or its first event is here."""
        answering = self._answering
        try:
            document = await unless_disconnected(receive, self._document())
        except ServingError as error:
            return error_response(error, self._named_headers())
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        if document is not None:
            return Response(document, headers=self._named_headers(), media_type="application/json")
        headers = self._named_headers() | NOT_HELD_BACK
        return StreamingResponse(_sse(answering), headers=headers, media_type="text/event-stream")

    async def _document(self) -> bytes | None:
        """The whole JSON document; None where the answer is open as a stream."""
        await self._answering.open()
        if self._answering.request.stream:
            return None
        return b"".join([item async for item in self._answering])

    def _named_headers(self) -> dict[str, str]:
        return response_headers(self._answering.exchange, self._answering.request, self._debug)


async def _sse(answering: Answering) -> AsyncIterator[bytes]:
    """The events and `[DONE]`; after the first byte an error is one event and no `[DONE]`."""
    try:
        async for item in answering:
            yield item
    except ServingError as error:
        yield b"data: " + orjson.dumps(error.envelope()) + b"\n\n"
        return
    yield b"data: [DONE]\n\n"
