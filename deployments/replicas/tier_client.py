"""The gateway's side of a tier: open an answer on a replica, turn Ray's failures into ours."""

import asyncio
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

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import Ended, EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineFailure,
    ErrorReply,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.replicas.health import TierHealth
from deployments.settings.app import TierName

# A request whose replica died before its first byte is sent again to the same tier this often: the
# second replica may be dying too, a third time the tier is not to be trusted.
SAME_TIER_ATTEMPTS = 3
# What a call raises whose replica is not there any more.
GONE = (
    RayActorError,
    ReplicaUnavailableError,
    DeploymentUnavailableError,
    TaskCancelledError,
    RpcError,
)


class Answer:
    """An answer whose first item is here: iterate for the bytes, then read `usage`."""

    def __init__(self, first: bytes | Ended, rest: AsyncGenerator[bytes | Ended, None]) -> None:
        self._first: bytes | Ended | None = first
        self._rest = rest
        self.usage = Usage(0, 0)

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        item = await anext(self._rest) if first is None else first
        if isinstance(item, bytes):
            return item
        self.usage = item.usage
        return item.last or await self.__anext__()

    async def close(self) -> None:
        """Stop the generation, if it still runs."""
        await self._rest.aclose()


class TierClient:
    """Sends requests to one tier's deployment."""

    def __init__(self, name: TierName, handle: DeploymentHandle, health: TierHealth) -> None:
        self._name = name
        self._handle = handle.options(method_name="generate", stream=True)
        self._health = health

    async def open(self, request: EngineRequest, deadline_s: float) -> Answer:
        """The answer, once its first item is here; a dead replica's request goes to another.

        `deadline_s` is on the event loop's clock.
        Raises: `ServingError`, always before any byte of the answer was handed out.
        """
        for _ in range(SAME_TIER_ATTEMPTS - 1):
            try:
                return await self._open_once(request, deadline_s)
            except TierUnavailable:
                self._health.suspect()
                if not self._health.up(self._name):
                    raise
        return await self._open_once(request, deadline_s)

    async def _open_once(self, request: EngineRequest, deadline_s: float) -> Answer:
        items = _items(self._handle, request, deadline_s)
        try:
            first = await self._first(items)
        except BaseException:
            await items.aclose()
            raise
        return Answer(first, items)

    async def _first(self, items: AsyncGenerator[bytes | Ended, None]) -> bytes | Ended:
        """The first item, or `TierUnavailable` as soon as no replica is left to send it."""
        first = asyncio.ensure_future(anext(items))
        down = asyncio.ensure_future(self._health.wait_down(self._name))
        try:
            await asyncio.wait({first, down}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                raise TierUnavailable(f"No replica of the {self._name} tier is running.")
            item = first.result()
        except StopAsyncIteration:
            raise EngineFailure("The model gave no answer.") from None
        finally:
            down.cancel()
            first.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, ServingError):
                await first
        if isinstance(item, Ended) and not item.last:
            raise EngineFailure("The model gave no answer.")
        return item


async def _items(
    handle: DeploymentHandle, request: EngineRequest, deadline_s: float
) -> AsyncGenerator[bytes | Ended, None]:
    """What the replica yields, its `ErrorReply` and Ray's exceptions raised as ours."""
    response: Any = handle.remote(request)
    finished = False
    try:
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    item = await anext(response)
            except StopAsyncIteration:
                finished = True
                return
            if isinstance(item, ErrorReply):
                finished = True
                raise item.error()
            yield item
    except TimeoutError:
        raise DeadlineExceeded("The deadline passed before the answer was complete.") from None
    except (ServingError, asyncio.CancelledError):
        raise
    except Exception as error:
        finished = True
        raise _from_ray(error) from None
    finally:
        if not finished:
            response.cancel()


def _from_ray(error: Exception) -> ServingError:
    """Our error for a failed call; Ray's own text (with its traceback) goes nowhere."""
    if isinstance(error, BackPressureError):
        return Overloaded("Too many requests are waiting for this model.")
    if isinstance(error, GONE):
        return TierUnavailable("The replica that had this request is gone.")
    return EngineFailure("The model's replica failed on this request.")
