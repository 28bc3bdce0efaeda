"""The gateway's side of a tier: which replica is asked, how often, and when it is given up."""

import asyncio
import random
from functools import partial

from ray.serve.handle import DeploymentHandle

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import EngineDead, ReplicaUnavailable, TierUnavailable
from deployments.replicas.answer import Answer
from deployments.replicas.health import TierHealth
from deployments.replicas.relay import RelayPort
from deployments.settings.app import TierName

# Before each further try of a request whose replica could not answer it, seconds: a replica whose
# engine has died refuses at once, and so looks idle, for up to 0.3 s before it is gone.
RETRY_PAUSES_S = (0.05, 0.15, 0.4)
# Requests that a replica died with are tried again at a random moment within this many seconds: one
# of them may be why, and the others shall not be on the same replica when it is.
SPREAD_S = 1.0


class TierClient:
    """Sends requests to one tier's deployment."""

    def __init__(
        self,
        name: TierName,
        handle: DeploymentHandle,
        health: TierHealth,
        relay: RelayPort | None = None,
    ) -> None:
        self._name = name
        self._relay = relay
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
        answer = Answer(self._handle, request, deadline_s, self._relay)
        down: asyncio.Future[None] | None = None
        if not wait_for_replica:
            down = asyncio.ensure_future(self._health.wait_down(self._name))
            down.add_done_callback(partial(self._no_replica, answer))
        try:
            await answer.open()
            return answer
        except BaseException:
            await answer.close()
            raise
        finally:
            if down is not None:
                down.cancel()

    def _no_replica(self, answer: Answer, down: asyncio.Future[None]) -> None:
        if not down.cancelled():
            answer.fail(TierUnavailable(f"No replica of the {self._name} tier is running."))
