"""The gateway's side of the board: says and hears a few times a second, beside all requests."""

import asyncio
import logging
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.replicas.board import MOST_ENTRIES
from deployments.routing.sharing import Entry, Said, Shares

log = logging.getLogger("ray.serve")

# From one exchange to the next, seconds: while there is news, and while there is none. A tool is
# rarely faster than the first, so that its result finds where its turn was answered.
BUSY_S = 0.25
CALM_S = 1.0
# A board that takes longer is not waited for.
TIMEOUT_S = 2.0
# The longest a starting gateway waits to hear what the others know, seconds.
FIRST_S = 10.0


class BoardClient:
    """Exchanges one gateway's state with the others'. Without the board each goes on by itself."""

    def __init__(self, handle: DeploymentHandle, gateway: str, state: Shares) -> None:
        self._handle = handle.options(method_name="exchange")
        self._gateway = gateway
        self._state = state
        self._mark: str | None = None
        self._seen = 0
        self._silent = False
        self._said_last: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hear the others before the first request, and go on for as long as the loop runs."""
        if self._task is None:
            await self.exchange(FIRST_S)
            self._task = asyncio.create_task(self._exchange_forever())

    async def exchange(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Say and hear once; true where there was news, or there is more."""
        loop = asyncio.get_running_loop()
        news = {name: part.news(MOST_ENTRIES) for name, part in self._state.entries.items()}
        asked = self._asked(news, loop.time())
        response: Any = None
        try:
            async with asyncio.timeout(timeout_s):
                response = self._handle.remote(asked)
                answer: dict[str, Any] = await response
            self._hear(answer, news, loop.time())
        except Exception as error:
            if response is not None:
                response.cancel()
            if not self._silent:
                log.warning("board: %s; this gateway goes on by itself", type(error).__name__)
            self._silent = True
            return False
        self._silent = False
        changed = asked["summaries"] != self._said_last
        self._said_last = asked["summaries"]
        return bool(asked["entries"] or answer["entries"] or answer["more"] or changed)

    def _asked(self, news: dict[str, list[Entry]], now_s: float) -> dict[str, Any]:
        """What this gateway says."""
        return {
            "gateway": self._gateway,
            "mark": self._mark,
            "seen": self._seen,
            "summaries": {name: part.say() for name, part in self._state.summaries.items()},
            "entries": [
                (kind, entry.key, entry.value, now_s - entry.stamp_s)
                for kind, entries in news.items()
                for entry in entries
            ],
        }

    def _hear(self, answer: dict[str, Any], news: dict[str, list[Entry]], now_s: float) -> None:
        """Take over what the others said; they have heard the news."""
        for kind, told in news.items():
            self._state.entries[kind].said(told)
        if self._mark not in (None, answer["mark"]):
            # Another board: what the last one was told it has not heard.
            for entries in self._state.entries.values():
                entries.renew()
        self._mark, self._seen = answer["mark"], answer["seen"]
        for name, part in self._state.summaries.items():
            part.hear(
                [
                    Said(gateway, age_s, said[name])
                    for gateway, age_s, said in answer["summaries"]
                    if name in said
                ]
            )
        for kind, entries in self._state.entries.items():
            entries.hear(
                Entry(key, value, now_s - age_s)
                for of, key, value, age_s in answer["entries"]
                if of == kind
            )

    async def _exchange_forever(self) -> None:
        while True:
            busy = await self.exchange()
            await asyncio.sleep(BUSY_S if busy else CALM_S)
