"""An answer on its way out: what is held of it, what follows, and what looks at it as it passes."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from deployments.accounting.exchange import Attempt
from deployments.accounting.price import Price
from deployments.gateway.ports import OpenAnswer
from deployments.gateway.watch import Watch
from deployments.protocol.chunk import Chunk
from deployments.protocol.errors import EngineFailure


class Opened:
    """One open answer; what was held of it comes first."""

    def __init__(
        self,
        answer: OpenAnswer,
        attempt: Attempt,
        watch: Watch | None,
        prices: Mapping[str, Price],
    ) -> None:
        """`prices` are those of the targets that a tier may have, by name."""
        self._prices = prices
        self.attempt = attempt
        self.watch = watch
        self.held: list[Chunk] = []
        self._answer = answer
        self._rest = aiter(answer)
        # The next chunk, where it was waited for when the time to hold was over.
        self._next: asyncio.Task[Chunk | None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer is held."""
        return bool(self.held) and self.held[-1].done

    async def begin(self) -> None:
        """Return when the answer has said something, or is whole. Raises: `ServingError`."""
        while not self.held or not (self.held[-1].content or self.held[-1].done):
            self._hold(await anext(self._rest, None))

    async def hold(self, most_s: float) -> None:
        """Return when enough is held to judge by, or after `most_s`. Raises: `ServingError`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + most_s
        while self.watch is not None and not (self.watch.over or self.watch.is_plain):
            if self._next is None:
                self._next = asyncio.create_task(self._following())
            await asyncio.wait({self._next}, timeout=max(0.0, until_s - loop.time()))
            if not self._next.done():
                return
            arrived, self._next = self._next, None
            self._hold(arrived.result())

    async def chunks(self) -> AsyncIterator[Chunk]:
        """The answer's chunks to the last. Raises: `ServingError`, also where it was cut."""
        for chunk in self.held:
            yield chunk
            if chunk.done:
                return
        while (follows := await self._then()) is not None:
            self._take(follows)
            yield follows
            # Nothing may follow: whatever becomes of the replica now, the answer is whole.
            if follows.done:
                return
        raise EngineFailure("The answer ended before it was complete.")

    async def close(self) -> None:
        """Stop the generation, if it still runs."""
        try:
            if self._next is not None:
                self._next.cancel()
                await asyncio.wait({self._next})
                if not self._next.cancelled():
                    self._next.exception()  # what nobody waits for any more is nobody's mistake
        finally:  # whoever waits here may be told to stop once more
            await self._answer.close()

    async def _then(self) -> Chunk | None:
        if self._next is None:
            return await anext(self._rest, None)
        waiting, self._next = self._next, None
        return await waiting

    async def _following(self) -> Chunk | None:
        return await anext(self._rest, None)

    def _hold(self, chunk: Chunk | None) -> None:
        if chunk is None:
            raise EngineFailure("The answer ended before it was complete.")
        self._take(chunk)
        self.held.append(chunk)

    def _take(self, chunk: Chunk) -> None:
        """Book what a chunk says, before anything can happen to it."""
        self.attempt.usage = chunk.usage
        if chunk.model:
            self.attempt.model, self.attempt.release = chunk.model, chunk.release
            self.attempt.price = self._prices.get(chunk.model, self.attempt.price)
        if self.watch is not None and self.watch.judged is None:
            self.watch.take(chunk)
            if self.watch.over:
                self.watch.judge()
