"""A constant open load of streams and documents, and what became of each request."""

import asyncio
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx

DONE = b"data: [DONE]\n\n"
# A request that takes longer counts as lost, seconds.
TIMEOUT_S = 120.0


@dataclass
class Outcomes:
    """Requests by what became of them; the first three add up to those that ended."""

    ok: int = 0
    lost: int = 0  # an error, or nothing, before the first byte of an answer
    cut: int = 0  # an answer that began and did not end as it should
    why: Counter[str] = field(default_factory=Counter)

    def since(self, before: "Outcomes") -> "Outcomes":
        """What came after."""
        return Outcomes(
            self.ok - before.ok,
            self.lost - before.lost,
            self.cut - before.cut,
            self.why - before.why,
        )

    def add(self, more: "Outcomes") -> None:
        """Count these too."""
        self.ok, self.lost, self.cut = self.ok + more.ok, self.lost + more.lost, self.cut + more.cut
        self.why += more.why

    def copy(self) -> "Outcomes":
        """These numbers, which no longer change."""
        return Outcomes(self.ok, self.lost, self.cut, Counter(self.why))


class ConstantLoad:
    """`per_s` requests a second from a thread, every other one a stream, as long as it is open."""

    def __init__(self, url: str, per_s: float, body: dict[str, Any]) -> None:
        self.outcomes = Outcomes()
        self._url = url
        self._pause_s = 1 / per_s
        self._body = body
        self._open: set[asyncio.Task[None]] = set()
        self._paused = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "ConstantLoad":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def all_ended(self) -> Outcomes:
        """What has become of every request so far; none is sent before this returns."""
        self._paused.set()
        try:
            while self._open:
                time.sleep(0.05)
            return self.outcomes.copy()
        finally:
            self._paused.clear()

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(
                base_url=self._url, timeout=TIMEOUT_S, limits=limits, trust_env=False
            ) as client,
            asyncio.TaskGroup() as sent,
        ):
            number, clock = 0, asyncio.get_running_loop().time
            due_s = clock()
            while not self._stop.is_set():
                if self._paused.is_set():
                    due_s = clock() + self._pause_s
                else:
                    number += 1
                    body = {**self._body, "stream": number % 2 == 0}
                    task = sent.create_task(ask(client, body, self.outcomes))
                    self._open.add(task)
                    task.add_done_callback(self._open.discard)
                    due_s += self._pause_s
                await asyncio.sleep(max(0.0, due_s - clock()))


async def ask(client: httpx.AsyncClient, body: dict[str, Any], outcomes: Outcomes) -> None:
    """Send one request and count what becomes of it."""
    begun, end = False, b""
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                outcomes.lost += 1
                outcomes.why[f"HTTP {answer.status_code} {_code(await answer.aread())}"] += 1
                return
            async for data in answer.aiter_raw():
                begun, end = True, (end + data)[-len(DONE) :] if body["stream"] else end + data
    except httpx.HTTPError as error:
        _count_broken(outcomes, begun, type(error).__name__)
        return
    if end == DONE if body["stream"] else "choices" in json.loads(end):
        outcomes.ok += 1
    else:
        _count_broken(outcomes, begun, "no end")


def _count_broken(outcomes: Outcomes, begun: bool, why: str) -> None:
    if begun:
        outcomes.cut += 1
    else:
        outcomes.lost += 1
    outcomes.why[f"{why}, {'after' if begun else 'before'} the first byte"] += 1


def _code(document: bytes) -> str:
    try:
        return str(json.loads(document)["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return document[:40].decode(errors="replace")
