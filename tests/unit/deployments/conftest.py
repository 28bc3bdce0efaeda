"""A simulated provider on a free port, for the tests of the server and of its clients."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import uvicorn

from deployments.simulated.server import AbortableHttp, SimulatedServer, SimulatedServerConfig

Serving = Callable[
    [SimulatedServerConfig], AbstractAsyncContextManager[tuple[SimulatedServer, str]]
]


@contextlib.asynccontextmanager
async def _serving(config: SimulatedServerConfig) -> AsyncIterator[tuple[SimulatedServer, str]]:
    simulated = SimulatedServer(config)
    listener = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(simulated.app(), http=AbortableHttp, log_level="critical")
    server = uvicorn.Server(settings)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  # uvicorn has a flag and no event
        await asyncio.sleep(0.005)
    try:
        yield simulated, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def serving() -> Serving:
    """Runs a server for a configuration; gives the server and its base URL."""
    return _serving
