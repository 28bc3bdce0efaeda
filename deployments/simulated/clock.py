"""The decoding steps of the simulated engine: one timer for the whole batch.

All running requests get their next token in the same step, as in a real engine. It also makes a
token cheap: a step costs one timer however many requests it serves.
"""

import asyncio
from collections.abc import Callable


class StepClock:
    """Counts steps while someone decodes; each is due one interval after the one before was due.

    A late event loop takes the missed steps at once, so that the clock never drifts.
    """

    def __init__(self, interval_s: Callable[[], float]) -> None:
        self.steps = 0
        self._interval_s = interval_s
        self._decoding = 0
        self._halted = False
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Return after the next step or `wake`."""
        await self._changed.wait()

    def wake(self) -> None:
        """Let everyone who waits look again at what they wait for."""
        self._changed.set()
        self._changed.clear()

    def enter(self) -> None:
        """Begin to decode: in the next step, or at once when nobody else is decoding."""
        self._decoding += 1
        if self._timer is None and not self._halted:
            loop = asyncio.get_running_loop()
            self._due = loop.time()
            self._timer = loop.call_at(self._due, self._step)

    def leave(self) -> None:
        """End decoding; the clock stops in its next step when nobody is left."""
        self._decoding -= 1

    def halt(self) -> None:
        """Take no step any more."""
        self._halted = True
        if self._timer is not None:
            self._timer.cancel()

    def _step(self) -> None:
        if self._decoding == 0:
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        interval_s = self._interval_s()
        missed_s = max(0.0, loop.time() - self._due)
        taken = 1 + (int(missed_s / interval_s) if interval_s > 0 else 0)
        self.steps += taken
        self._due += taken * interval_s
        self._timer = loop.call_at(self._due, self._step)
        self.wake()
