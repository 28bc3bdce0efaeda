"""Which tiers have a replica that answers, as the Serve controller last said."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from deployments.settings.app import TierName

log = logging.getLogger("ray.serve")

# How often the controller is asked while nobody waits and nothing failed, seconds. An answer costs
# the two processes about 20 ms of CPU, so that asking twice a second for ever would take 4% of a
# core from the engine.
CALM_POLL_S = 5.0
# The same while requests wait for a first token, which under load is always: twice a second was a
# fifth of a gateway's CPU (128 streams, bench/overhead/relay).
WAITING_POLL_S = 2.0

# The states in which Serve sends requests to a replica. A replica that is to leave its node answers
# until another has taken its place.
ANSWERING = ("RUNNING", "PENDING_MIGRATION")
# States that say nothing of whether it answers: the controller has just come back, or changes the
# replica's settings.
UNSURE = ("RECOVERING", "UPDATING")

# Replicas that can answer now, by tier; None where the controller cannot say.
RunningCounts = dict[TierName, int | None]


def answering(replica_states: Mapping[str, int]) -> int | None:
    """Replicas that can answer, from the controller's table of states; None where it cannot say.

    >>> answering({"RUNNING": 1, "PENDING_MIGRATION": 1}), answering({"RECOVERING": 2})
    (2, None)
    """
    count = sum(replica_states.get(state, 0) for state in ANSWERING)
    unsure = any(replica_states.get(state, 0) for state in UNSURE)
    return None if unsure and not count else count


class TierHealth:
    """Polls the controller, and wakes requests that wait on a tier whose last replica is gone.

    A tier that may scale to zero is never down: its requests wait for a replica to start.
    """

    def __init__(
        self,
        count_running: Callable[[], RunningCounts],
        poll_s: float,
        may_be_zero: frozenset[TierName] = frozenset(),
    ) -> None:
        self._count_running = count_running
        self._poll_s = poll_s
        self.may_be_zero = may_be_zero
        self._running: dict[TierName, int] = {}
        self._silent = False
        self._asked_at_s = 0.0
        self._down: dict[TierName, asyncio.Event] = {
            "small": asyncio.Event(),
            "large": asyncio.Event(),
        }
        self._ask = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to poll, on the running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._poll_forever())

    def up(self, tier: TierName) -> bool:
        """Whether the tier can answer, or will once it has started from zero."""
        return not self._down[tier].is_set()

    def running(self, tier: TierName) -> int:
        """Replicas that can answer now."""
        return self._running.get(tier, 0)

    async def wait_down(self, tier: TierName) -> None:
        """Return when the tier has no running replica; who waits long has the controller asked."""
        down = self._down[tier]
        while not down.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await down.wait()
            if asyncio.get_running_loop().time() - self._asked_at_s >= WAITING_POLL_S:
                self._ask.set()

    def suspect(self) -> None:
        """A replica failed: ask the controller now rather than at the next calm poll."""
        self._ask.set()

    async def refresh(self) -> bool:
        """Ask the controller once; true where it answered and every tier is up.

        A controller that does not answer changes nothing: replicas serve without it.
        """
        self._asked_at_s = asyncio.get_running_loop().time()
        try:
            self.update(await asyncio.to_thread(self._count_running))
        except Exception as error:
            if not self._silent:
                log.warning("tier health unknown, keeping the last: %s", type(error).__name__)
            self._silent = True
            return False
        self._silent = False
        return not any(event.is_set() for event in self._down.values())

    def update(self, running: RunningCounts) -> None:
        """Take over new counts; a tier of which the controller cannot say stays as it was."""
        for tier, event in self._down.items():
            count = running.get(tier, 0)
            if count is None:
                continue
            self._running[tier] = count
            down = count == 0 and tier not in self.may_be_zero
            if down and not event.is_set():
                log.warning("tier %s has no running replica", tier)
            (event.set if down else event.clear)()

    async def _poll_forever(self) -> None:
        while True:
            calm = await self.refresh()
            await asyncio.sleep(self._poll_s)
            if calm:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CALM_POLL_S):
                        await self._ask.wait()
            self._ask.clear()
