"""One answer as the gateway reads it: the Serve call that makes it and the frames that bring it."""

import asyncio
import time
from dataclasses import replace
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
from deployments.protocol.chunk import Chunk, joined
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    Overloaded,
    ReplicaUnavailable,
    ServingError,
)
from deployments.protocol.inbox import Inbox
from deployments.replicas.relay import STOP_BYTES, RelayPort

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
# How much later than the end of the call the last frame may come, seconds.
LAST_FRAME_S = 5.0


class Answer:
    """Iterate for the chunks, up to the one that is `done`; what failed is raised as ours."""

    def __init__(
        self,
        handle: DeploymentHandle,
        request: EngineRequest,
        deadline_s: float,
        relay: RelayPort | None,
    ) -> None:
        self._inbox = Inbox()
        self._relay = relay
        self._address = relay.open(self._inbox) if relay is not None else None
        self._response: Any = None
        self._over = self._done = False
        self._opening: Chunk | None = None
        late = DeadlineExceeded("The deadline passed before the answer was complete.")
        loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._timers = [loop.call_at(deadline_s, self._inbox.fail, late)]
        self._call = asyncio.create_task(self._follow(handle, request))
        # The name under which the replica serves what answers.
        self.model = ""

    async def open(self) -> None:
        """Return when the first chunk is here; raises what comes instead."""
        self._opening = await self._next()
        self.model = self._opening.model

    def fail(self, error: ServingError) -> None:
        """Give the answer up, unless it is here."""
        self._inbox.fail(error)

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> Chunk:
        opening, self._opening = self._opening, None
        if opening is not None:
            return opening
        if self._done:
            raise StopAsyncIteration
        return await self._next()

    async def close(self) -> None:
        """Stop the generation, if it still runs."""
        for timer in self._timers:
            timer.cancel()
        if self._relay is not None and self._address is not None:
            self._relay.close(self._address.stream)
        if not self._over and not self._done:
            self._over = True
            self._call.cancel()
            if self._response is not None:
                self._response.cancel()

    async def _next(self) -> Chunk:
        """All that is here, as one chunk."""
        chunk: Chunk | None = None
        try:
            for frame in await self._inbox.take():
                then = wire.decode(frame)
                chunk = then if chunk is None else joined(chunk, then)
        except ServingError as error:
            if chunk is None:
                # An error is the last that a replica of our release sends; its call then ends.
                self._done = self._inbox.begun and not isinstance(
                    error, ReplicaUnavailable | DeadlineExceeded
                )
                await self.close()
                raise
            self._inbox.fail(error)
        assert chunk is not None
        self._done = chunk.done
        if self._relay is not None and self._address is not None:
            self._relay.read(self._address.stream)
        return chunk

    async def _follow(self, handle: DeploymentHandle, request: EngineRequest) -> None:
        """The call, to its end: the frames that come over it, and how it ends."""
        # Tries before this one, and the wait for this one, took of the time that the request has.
        left_s = max(0.0, self._deadline_s - asyncio.get_running_loop().time())
        asked = wire.encode_request(replace(request, timeout_s=left_s))
        asked["sent_s"] = time.time()
        if self._address is not None:
            asked["relay"] = tuple(self._address)
        try:
            self._response = handle.remote(asked)
            while True:
                if frame := await anext(self._response):  # one is empty where they come beside it
                    self._inbox.put(frame)
                if self._inbox.size_bytes > STOP_BYTES:  # what is not fetched, gRPC holds back
                    await self._inbox.taken()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            self._over = True
            if not self._done:
                self._end(error)

    def _end(self, error: BaseException) -> None:
        """How the call ended follows the last frame, which may be behind it on its other way."""
        failure = _from_ray(error, self._inbox.begun)
        if self._address is not None and isinstance(error, StopAsyncIteration):
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(LAST_FRAME_S, self._inbox.fail, failure))
        else:
            self._inbox.fail(failure)


def _is_cancelled() -> bool:
    """Whether this task itself was told to stop: the replica's end comes as the same exception."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _from_ray(error: BaseException, begun: bool) -> ServingError:
    """Our error for a call that has ended; Ray's own text (with its traceback) goes nowhere."""
    if isinstance(error, StopAsyncIteration) and begun:
        return EngineFailure("The model's answer ended before it was complete.")
    if isinstance(error, BackPressureError):
        return Overloaded("Too many requests are waiting for this model.")
    if isinstance(error, DIED) and not begun:
        return EngineDead("The replica that had this request died.")
    if isinstance(error, (StopAsyncIteration, *DIED, *LET_GO)):
        return ReplicaUnavailable("The replica that had this request is gone.")
    return EngineFailure("The model's replica failed on this request.")
