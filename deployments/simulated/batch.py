"""The places of the simulated engine: a batch of limited size over a KV cache of limited size."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from deployments.protocol.errors import ContextLengthExceeded, DeadlineExceeded, ServingError


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """A request's place in the queue; `granted` is set when it may run."""

    kv_tokens: int
    granted: asyncio.Future[None]


class Batch:
    """Lets requests run in the order they came, as many as fit."""

    def __init__(self, max_num_seqs: int, kv_cache_tokens: int) -> None:
        self._max_num_seqs = max_num_seqs
        self._kv_cache_tokens = kv_cache_tokens
        self._queue: deque[_Ticket] = deque()
        self._reserved_tokens = 0
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def kv_cache_usage(self) -> float:
        """The reserved fraction of the KV cache."""
        return self._reserved_tokens / self._kv_cache_tokens

    async def enter(self, kv_tokens: int, deadline: float) -> None:
        """Wait for a place; `leave` gives it back.

        Raises: `ContextLengthExceeded` for what can never fit, `DeadlineExceeded`, or the error
        given to `fail_waiting`.
        """
        if kv_tokens > self._kv_cache_tokens:
            raise ContextLengthExceeded(
                f"The request needs {kv_tokens} tokens of KV cache; there are "
                f"{self._kv_cache_tokens} in all."
            )
        loop = asyncio.get_running_loop()
        ticket = _Ticket(kv_tokens, loop.create_future())
        self._queue.append(ticket)
        self._grant()
        late = DeadlineExceeded("The request's deadline passed while it waited for its turn.")
        timer = loop.call_at(deadline, _fail, ticket, late) if deadline < math.inf else None
        try:
            await ticket.granted
        except BaseException:
            self._give_up(ticket)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def leave(self, kv_tokens: int) -> None:
        """Give a place back and let the next ones in."""
        self.running -= 1
        self._reserved_tokens -= kv_tokens
        self._grant()

    def fail_waiting(self, error: ServingError) -> None:
        """Turn everyone in the queue away."""
        for ticket in self._queue:
            _fail(ticket, error)

    def _grant(self) -> None:
        """Let the head of the queue run while it fits; nobody overtakes it."""
        while self._queue and self.running < self._max_num_seqs:
            ticket = self._queue[0]
            if ticket.granted.done():  # given up, but not yet awake to leave the queue
                return
            if self._reserved_tokens + ticket.kv_tokens > self._kv_cache_tokens:
                return
            self._queue.popleft()
            self.running += 1
            self._reserved_tokens += ticket.kv_tokens
            ticket.granted.set_result(None)

    def _give_up(self, ticket: _Ticket) -> None:
        """Leave the queue, or the batch when the place was granted a moment ago."""
        granted = ticket.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self.leave(ticket.kv_tokens)
        else:
            self._queue.remove(ticket)
            self._grant()


def _fail(ticket: _Ticket, error: ServingError) -> None:
    if not ticket.granted.done():
        ticket.granted.set_exception(error)
