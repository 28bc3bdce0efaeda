"""The simulated engine as an OpenAI-compatible HTTP server: a stand-in for a provider.

    python -m deployments.simulated.server --port 9000 --model big --allow-drills

It adds the faults of a network to those of an engine, named in the same way (`"user":
"drill:drop"`) or struck on every request with `http_fault` in the configuration.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvicorn
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import Endpoint, EngineRequest
from deployments.protocol.errors import InvalidApiKey, InvalidRequest, ServingError, UnknownModel
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.settings.yaml_file import read_yaml
from deployments.simulated.engine import DRILL, SimulatedEngine

# drop: the connection closes without an answer. http_500: an error page that is not JSON.
# slow_headers: the answer begins `slow_headers_s` late. no_done: the stream ends properly, but
# after its first chunk and without [DONE].
HttpFault = Literal["drop", "http_500", "slow_headers", "no_done"]
HTTP_FAULTS = ("drop", "http_500", "slow_headers", "no_done")
ABORT = "smallfirst.abort"
DONE = b"data: [DONE]\n\n"


class SimulatedServerConfig(BaseModel):
    """What the server adds to its engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "simulated"
    engine: SimulatedEngineConfig = SimulatedEngineConfig()
    # The only key that is let in; None lets everyone in.
    api_key: str | None = None
    # Strikes every request; a drill strikes only its own.
    http_fault: HttpFault | None = None
    # Seconds; longer than any client's patience in a test, shorter than a person's.
    slow_headers_s: float = 30.0


class AbortableHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the socket's abort handed to the application."""

    def on_message_begin(self) -> None:
        """Add the abort to each request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]  # ASGI leaves extensions open, uvicorn's types do not


class SimulatedServer:
    """Routes of one simulated provider."""

    def __init__(self, config: SimulatedServerConfig) -> None:
        self.engine = SimulatedEngine(config.engine, config.model)
        self._config = config

    def app(self) -> Starlette:
        """The ASGI application; needs `AbortableHttp` under it for `drop` and `cut`."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            await self.engine.start()
            yield
            await self.engine.stop()

        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._completions, methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/health", self._health),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    async def _health(self, _: Request) -> Response:
        return Response(status_code=503 if self.engine.dead() else 200)

    async def _models(self, _: Request) -> Response:
        model = {
            "id": self._config.model,
            "object": "model",
            "created": 0,
            "owned_by": "smallfirst",
        }
        return JSONResponse({"object": "list", "data": [model]})

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, "chat")

    async def _completions(self, request: Request) -> Response:
        return await self._answer(request, "completions")

    async def _answer(self, request: Request, endpoint: Endpoint) -> Response:
        try:
            body = self._checked(request, await request.body())
            fault = self._http_fault(body)
            if fault == "drop":
                return await _abort(request)
            if fault == "http_500":
                return Response("<html>Internal Server Error</html>", 500, media_type="text/html")
            if fault == "slow_headers":
                await asyncio.sleep(self._config.slow_headers_s)
            name = request.headers.get("x-request-id") or uuid.uuid4().hex
            generation = self.engine.generate(EngineRequest(endpoint, body, name))
            first = await _first(request, generation)
        except ServingError as error:
            retry = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else None
            return JSONResponse(error.envelope(), error.status, headers=retry)
        if not body.get("stream"):
            await generation.aclose()
            return Response(first, media_type="application/json")
        stream = _stream(request, first, generation, cut=fault == "no_done")
        return StreamingResponse(stream, media_type="text/event-stream")

    def _checked(self, request: Request, raw: bytes) -> dict[str, Any]:
        """The request's JSON body, if the key and the model are right."""
        key = self._config.api_key
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            raise InvalidApiKey("Incorrect API key provided.")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("The body is not JSON.") from error
        if not isinstance(body, dict):
            raise InvalidRequest("The body is not a JSON object.")
        if body.get("model") != self._config.model:
            raise UnknownModel("The model does not exist.", "model")
        return body

    def _http_fault(self, body: dict[str, Any]) -> str | None:
        user = body.get("user")
        drill = user.removeprefix(DRILL) if isinstance(user, str) else None
        if self._config.engine.allow_drills and drill in HTTP_FAULTS:
            return drill
        return self._config.http_fault


async def _abort(request: Request) -> Response:
    """Close the connection under the request, without a word."""
    request.scope["extensions"][ABORT]()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


async def _first(request: Request, generation: AsyncGenerator[Chunk, None]) -> bytes:
    """The first item of an answer; the generation ends if the client leaves before it."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    item = asyncio.ensure_future(anext(generation))
    gone = asyncio.ensure_future(left())
    await asyncio.wait((item, gone), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not item.done():
        item.cancel()
        raise InvalidRequest("The client left.")
    return item.result().data


async def _stream(
    request: Request, first: bytes, generation: AsyncGenerator[Chunk, None], *, cut: bool
) -> AsyncIterator[bytes]:
    yield first
    async with aclosing(generation) as items:
        try:
            async for item in items:
                if cut:
                    return
                if item.data:
                    yield item.data
        except ServingError:
            await _abort(request)
            return
    yield DONE


def serve(
    port: int = 9000,
    host: str = "127.0.0.1",
    model: str | None = None,
    config: Annotated[Path | None, typer.Option(help="YAML of SimulatedServerConfig.")] = None,
    allow_drills: Annotated[bool, typer.Option(help="Let requests name their fault.")] = False,
) -> None:
    """Serve a simulated model over OpenAI's HTTP API until interrupted."""
    try:
        settings: dict[str, Any] = read_yaml(config) if config else {}
        if model is not None:
            settings["model"] = model
        if allow_drills:
            settings["engine"] = settings.get("engine", {}) | {"allow_drills": True}
        server = SimulatedServer(SimulatedServerConfig.model_validate(settings))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--config") from error
    typer.echo(f"Simulated model at http://{host}:{port}/v1; Ctrl-C ends it.")
    uvicorn.run(server.app(), host=host, port=port, http=AbortableHttp, log_level="warning")


if __name__ == "__main__":
    typer.run(serve)
