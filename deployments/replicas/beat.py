"""Moments that many streams wait for together."""

import asyncio


class Beat:
    """Wakes everyone who waits at the same moment: one timer, and one write for all of them."""

    def __init__(self) -> None:
        self._due_s = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self, period_s: float) -> None:
        """Return at the next beat; beats are `period_s` seconds apart while somebody waits."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        if not self._waiting:
            # On from the last beat, not from now: what the streams did in between took time too.
            self._due_s = max(self._due_s + period_s, loop.time())
            loop.call_at(self._due_s, self._strike)
        self._waiting.append(woken)
        await woken

    def _strike(self) -> None:
        waiting, self._waiting = self._waiting, []
        for woken in waiting:
            if not woken.done():  # who was cancelled has left
                woken.set_result(None)
