"""Work for a client ends when the client hangs up."""

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive


class UnlessDisconnected:
    """`async with` it: what runs inside is cancelled when the client hangs up, and it raises
    `ClientDisconnect` then. One task for a whole answer, as `asyncio.timeout` has one timer."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._watch = asyncio.create_task(self._until_gone())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.cancel()
        # Another cancel than ours stays one.
        if self._gone and self._task.uncancel() <= self._cancelling and kind is not None:
            raise ClientDisconnect from None

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
