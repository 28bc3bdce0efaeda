"""The gateway's side of a tier: open an answer on a replica, turn Ray's failures into ours."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from grpc import RpcError
from ray.exceptions import RayActorError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    Overloaded,
    ReplicaUnavailable,
    ServingError,
    TierUnavailable,
)
from deployments.replicas.health import TierHealth
from deployments.settings.app import TierName

# Before each further try of a request whose replica could not answer it, seconds: a replica whose
# engine has died refuses at once, and so looks idle, for up to 0.3 s before it is gone.
RETRY_PAUSES_S = (0.05, 0.15, 0.4)
# Requests that a replica died with are tried again at a random moment within this many seconds: one
# of them may be why, and the others shall not be on the same replica when it is.
SPREAD_S = 1.0
# What a call raises whose replica died with it. Serve itself sends a request again that its replica
# had not accepted.
DIED = (RayActorError, RpcError)
# What it raises whose replica let it go, or had never got it.
LET_GO = (
    ReplicaUnavailableError,
    DeploymentUnavailableError,
    TaskCancelledError,
    asyncio.CancelledError,
)


class Answer:
    """An answer whose first chunk is here: iterate for the chunks, up to the one that is `done`."""

    def __init__(self, first: Chunk, rest: AsyncGenerator[Chunk, None]) -> None:
        self._first: Chunk | None = first
        self._rest = rest
        # The name under which the replica serves what answers.
        self.model = first.model
        self._done = False

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> Chunk:
        if self._done:
            raise StopAsyncIteration
        first, self._first = self._first, None
        chunk = await anext(self._rest) if first is None else first
        self._done = chunk.done
        return chunk

    async def close(self) -> None:
        """Stop the generation, if it still runs."""
        await self._rest.aclose()


class TierClient:
    """Sends requests to one tier's deployment."""

    def __init__(self, name: TierName, handle: DeploymentHandle, health: TierHealth) -> None:
        self._name = name
        self._handle = handle.options(
            method_name="generate",
            stream=True,
            # What `wire` makes are plain objects and bytes.
            request_serialization="pickle",
            response_serialization="pickle",
        )
        self._health = health

    async def open(self, request: EngineRequest, deadline_s: float) -> Answer:
        """The answer, once its first chunk is here.

        Another replica of the tier is asked where one could not answer; where one died with the
        request, which may be why, one only, and it is waited for: nobody else shall die of it.
        `deadline_s` is on the event loop's clock.
        Raises: `ServingError`, always before any byte of the answer was handed out.
        """
        died = False
        for pause_s in RETRY_PAUSES_S:
            try:
                return await self._open_once(request, deadline_s, wait_for_replica=died)
            except EngineDead:
                self._health.suspect()
                if died:
                    raise
                died = True
                await asyncio.sleep(random.uniform(0, SPREAD_S))
            except ReplicaUnavailable:
                self._health.suspect()
                if not died and not self._health.up(self._name):
                    raise
                await asyncio.sleep(pause_s)
        return await self._open_once(request, deadline_s, wait_for_replica=died)

    async def _open_once(
        self, request: EngineRequest, deadline_s: float, *, wait_for_replica: bool
    ) -> Answer:
        chunks = _chunks(self._handle, request, deadline_s)
        try:
            if wait_for_replica:
                return Answer(await anext(chunks), chunks)
            return Answer(await self._first(chunks), chunks)
        except BaseException:
            with suppress(RuntimeError):  # still running: cancelled, and closing itself
                await chunks.aclose()
            raise

    async def _first(self, chunks: AsyncGenerator[Chunk, None]) -> Chunk:
        """The first chunk, or `TierUnavailable` as soon as no replica is left to send it."""
        first = asyncio.ensure_future(anext(chunks))
        down = asyncio.ensure_future(self._health.wait_down(self._name))
        try:
            await asyncio.wait({first, down}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                raise TierUnavailable(f"No replica of the {self._name} tier is running.")
            return first.result()
        finally:
            down.cancel()
            first.cancel()
            # Not awaited: that would swallow a cancel of our own which comes meanwhile.
            await asyncio.wait({first})
            if not first.cancelled():
                first.exception()


async def _chunks(
    handle: DeploymentHandle, request: EngineRequest, deadline_s: float
) -> AsyncGenerator[Chunk, None]:
    """What the replica sends, up to the chunk that is `done`; errors of it and of Ray as ours."""
    response: Any = handle.remote(wire.encode_request(request))
    begun = over = False
    try:
        while not over:
            async with asyncio.timeout_at(deadline_s):
                frame = await anext(response)
            chunk = wire.decode(frame)
            begun, over = True, chunk.done
            yield chunk
    except TimeoutError:
        raise DeadlineExceeded("The deadline passed before the answer was complete.") from None
    except ServingError as error:
        # An error is the last that a replica of our release sends.
        over = not isinstance(error, ReplicaUnavailable)
        raise
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        over = True
        raise _from_ray(error, begun) from None
    finally:
        if not over:
            response.cancel()


def _is_cancelled() -> bool:
    """Whether this task itself was told to stop: the replica's end comes as the same exception."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _from_ray(error: BaseException, begun: bool) -> ServingError:
    """Our error for a failed call; Ray's own text (with its traceback) goes nowhere."""
    if isinstance(error, StopAsyncIteration):
        return EngineFailure("The model's answer ended before it was complete.")
    if isinstance(error, BackPressureError):
        return Overloaded("Too many requests are waiting for this model.")
    if isinstance(error, DIED) and not begun:
        return EngineDead("The replica that had this request died.")
    if isinstance(error, DIED + LET_GO):
        return ReplicaUnavailable("The replica that had this request is gone.")
    return EngineFailure("The model's replica failed on this request.")
