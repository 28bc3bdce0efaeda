"""An admitted request's answer as an HTTP response: one document, or events and their end."""

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from deployments.gateway.answering import Answering
from deployments.http.disconnect import UnlessDisconnected
from deployments.http.headers import response_headers
from deployments.http.responses import error_response
from deployments.protocol.api import Telling
from deployments.protocol.errors import ServingError

CLIENT_CLOSED_REQUEST = 499
# nginx gathers an answer before it passes it on, unless the answer says otherwise.
NOT_HELD_BACK = {"cache-control": "no-cache", "x-accel-buffering": "no"}

# How long a client may leave one part of its answer untaken, and how long after the request's
# deadline, when it still has to be told so. A connection that stays open and takes nothing would
# keep its slot, its hold on the account and the engine's work.
SEND_TIMEOUT_S = 60.0
LAST_WORDS_S = 2.0


class AnswerResponse(Response):
    """Opens the answer and sends it; the request is settled when this is left, however."""

    def __init__(self, answering: Answering, telling: Telling, debug: bool) -> None:
        self._answering = answering
        self._telling = telling
        self._debug = debug
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""

        async def told(message: Message) -> None:
            self._begun = True
            try:
                async with asyncio.timeout_at(self._until()):
                    await send(message)
            except OSError:  # a time-out is one
                raise ClientDisconnect from None

        async with self._answering:
            try:
                async with UnlessDisconnected(receive):
                    if (whole := await self._opened()) is None:
                        await self._stream(told)
                    else:
                        await whole(scope, receive, told)
            except ClientDisconnect:
                # Nobody is left to be told; the exchange ends as cancelled.
                if not self._begun:
                    with suppress(ClientDisconnect):
                        await Response(status_code=CLIENT_CLOSED_REQUEST)(scope, receive, told)

    def _until(self) -> float:
        """When a write that begins now is given up, on the event loop's clock."""
        now_s = asyncio.get_running_loop().time()
        return min(now_s + SEND_TIMEOUT_S, max(now_s, self._answering.deadline_s) + LAST_WORDS_S)

    async def _opened(self) -> Response | None:
        """The whole answer; None where it is open as a stream."""
        answering = self._answering
        try:
            await answering.open()
            if answering.request.stream:
                return None
            document = b"".join([item async for item in answering])
            document = self._telling.document(document, answering.exchange.usage)
        except ServingError as error:
            return error_response(error, self._named_headers(), self._telling.refusal(error))
        return Response(document, headers=self._named_headers(), media_type="application/json")

    async def _stream(self, send: Send) -> None:
        """The events and the API's end of them; after the first byte an error is the end."""
        head = Response(
            headers=self._named_headers() | NOT_HELD_BACK, media_type="text/event-stream"
        )
        del head.headers["content-length"]
        exchange, telling = self._answering.exchange, self._telling
        try:
            await send({"type": "http.response.start", "status": 200, "headers": head.raw_headers})
            async for item in self._answering:
                if told := telling.events(item, exchange.usage):
                    await send({"type": "http.response.body", "body": told, "more_body": True})
            last = telling.end(exchange.usage)
        except ServingError as error:
            exchange.end(error)
            last = telling.broken(error, exchange.usage)
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def _named_headers(self) -> dict[str, str]:
        return response_headers(self._answering.exchange, self._answering.request, self._debug)
