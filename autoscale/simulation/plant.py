"""The simulated replicas as one exact event loop, compiled when numba is installed.

A pool of `slots` served first come, first served. A request needs `work_s` seconds at a full batch
and `kv` tokens of KV cache; in a part-filled batch it runs faster by the batch slow-down. Since
Serve's router keeps replicas balanced, all share one speed, so one virtual clock orders every
completion: each event costs O(log busy). The same model with one process a request is in
`simpy_reference`, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_F = TypeVar("_F", bound=Callable[..., Any])

try:
    from numba import njit
except ImportError:  # the same source runs uncompiled, some 50 times slower

    def njit(**_: Any) -> Callable[[_F], _F]:
        """Stand-in for numba's decorator."""
        return lambda function: function


class Pool(NamedTuple):
    """What serves: all running replicas together."""

    slots: int
    kv_tokens: float
    batch_slowdown: float
    """Part of a token's time that comes from the batch: an empty batch is 1 / (1 - this) faster."""
    full_speed: float
    """Seconds of work done in a second at a full batch; above 1 on part-filled GPUs."""


class Requests(NamedTuple):
    """What is to be served, one entry a request, in the order of arrival."""

    arrival_s: Floats
    work_s: Floats
    kv_tokens: Floats
    start_s: Floats
    """When each got its slot; written by `run_until`, infinite until then."""


class Batch(NamedTuple):
    """The requests in a slot as a binary heap: the first is the next to be done."""

    done_at_work_s: Floats
    """The value of `Progress.work_s` at which each is done."""
    kv_tokens: Floats


class Progress(NamedTuple):
    """How far the run has come."""

    time_s: float = 0.0
    work_s: float = 0.0
    """Virtual time: work that a request which had its slot from the start would have got done."""
    busy: int = 0
    """Requests in a slot: the used length of `Batch`."""
    kv_tokens: float = 0.0
    arrived: int = 0
    started: int = 0
    completed: int = 0
    busy_slot_s: float = 0.0
    """Sum over time of `busy`."""


def waiting(arrival_s: Floats, work_s: Floats, kv_tokens: Floats) -> tuple[Requests, Batch]:
    """Requests of which none has started, and an empty batch that holds them all if need be."""
    count = len(arrival_s)
    requests = Requests(arrival_s, work_s, kv_tokens, np.full(count, np.inf))
    return requests, Batch(np.empty(count + 1), np.empty(count + 1))


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _push(batch: Batch, busy: int, done_at_work_s: float, kv_tokens: float) -> None:
    """Add a request to a heap of `busy`."""
    heap, tokens = batch.done_at_work_s, batch.kv_tokens
    child = busy
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent] <= done_at_work_s:
            break
        heap[child], tokens[child] = heap[parent], tokens[parent]
        child = parent
    heap[child], tokens[child] = done_at_work_s, kv_tokens


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _pop(batch: Batch, busy: int) -> float:
    """Remove the first of a heap of `busy`; returns its KV tokens."""
    heap, tokens = batch.done_at_work_s, batch.kv_tokens
    freed: float = tokens[0]
    last = busy - 1
    moved, kv_tokens = heap[last], tokens[last]
    parent, child = 0, 1
    while child < last:
        if child + 1 < last and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= moved:
            break
        heap[parent], tokens[parent] = heap[child], tokens[child]
        parent, child = child, 2 * child + 1
    heap[parent], tokens[parent] = moved, kv_tokens
    return freed


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def run_until(
    end_s: float, pool: Pool, requests: Requests, batch: Batch, progress: Progress
) -> Progress:
    """The progress at `end_s`; writes `requests.start_s` and keeps `batch`."""
    now_s, work_s, busy, kv_used, arrived, started, completed, busy_slot_s = progress
    count = requests.arrival_s.shape[0]
    while True:
        while started < arrived and busy < pool.slots:
            kv_tokens = requests.kv_tokens[started]
            if busy > 0 and kv_used + kv_tokens > pool.kv_tokens:
                break
            _push(batch, busy, work_s + requests.work_s[started], kv_tokens)
            requests.start_s[started] = now_s
            kv_used += kv_tokens
            busy += 1
            started += 1
        filled = min(1.0, busy / pool.slots) if pool.slots > 0 else 1.0
        speed = pool.full_speed / (1.0 - pool.batch_slowdown + pool.batch_slowdown * filled)
        done_s = now_s + (batch.done_at_work_s[0] - work_s) / speed if busy > 0 else np.inf
        arrival_s = requests.arrival_s[arrived] if arrived < count else np.inf
        event_s = min(done_s, arrival_s, end_s)
        work_s += (event_s - now_s) * speed
        busy_slot_s += (event_s - now_s) * busy
        now_s = event_s
        if event_s >= end_s:
            break
        if done_s <= arrival_s:
            work_s = batch.done_at_work_s[0]
            kv_used -= _pop(batch, busy)
            busy -= 1
            completed += 1
        else:
            arrived += 1
    return Progress(now_s, work_s, busy, kv_used, arrived, started, completed, busy_slot_s)
