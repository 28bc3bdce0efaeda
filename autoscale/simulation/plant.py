"""The simulated replicas as one exact event loop, compiled when numba is installed.

A pool of `slots` served first come, first served. A request needs `work_s` seconds at a full batch
and `kv` tokens of KV cache; in a part-filled batch it runs faster by the batch slow-down. Since
Serve's router keeps replicas balanced, all share one speed, so one virtual clock orders every
completion: each event costs O(log busy). The same model with one process a request is in
`simpy_reference`, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

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


# Positions in the state vector of `run_until`.
TIME, VIRTUAL, BUSY, KV_USED, NEXT_ARRIVAL, NEXT_START, COMPLETED, BUSY_AREA = range(8)


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _push(heap: Floats, tokens: Floats, size: int, key: float, kv: float) -> None:
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent] <= key:
            break
        heap[child], tokens[child] = heap[parent], tokens[parent]
        child = parent
    heap[child], tokens[child] = key, kv


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _pop(heap: Floats, tokens: Floats, size: int) -> float:
    """Remove the smallest key of `size`; returns its KV tokens."""
    freed: float = tokens[0]
    last = size - 1
    key, kv = heap[last], tokens[last]
    parent, child = 0, 1
    while child < last:
        if child + 1 < last and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[parent], tokens[parent] = heap[child], tokens[child]
        parent, child = child, 2 * child + 1
    heap[parent], tokens[parent] = key, kv
    return freed


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def run_until(
    end_s: float,
    pool: Floats,
    requests: Floats,
    heap: Floats,
    state: Floats,
) -> None:
    """Advance to `end_s`. `pool` is (slots, kv_tokens, batch_slowdown, speed).

    `requests` has rows arrival_s, work_s, kv_tokens, start_s (written here); `heap` has rows
    virtual finish, KV tokens; `state` is the vector above.
    """
    slots, kv_limit, slowdown, speed_full = pool[0], pool[1], pool[2], pool[3]
    arrivals, works, kvs, starts = requests[0], requests[1], requests[2], requests[3]
    keys, tokens = heap[0], heap[1]
    now, virtual, kv_used = state[TIME], state[VIRTUAL], state[KV_USED]
    busy, arrived, started = int(state[BUSY]), int(state[NEXT_ARRIVAL]), int(state[NEXT_START])
    completed, area = state[COMPLETED], state[BUSY_AREA]
    count = arrivals.shape[0]
    while True:
        while started < arrived and busy < slots:
            kv = kvs[started]
            if busy > 0 and kv_used + kv > kv_limit:
                break
            _push(keys, tokens, busy, virtual + works[started], kv)
            starts[started] = now
            kv_used += kv
            busy += 1
            started += 1
        filled = min(1.0, busy / slots) if slots > 0 else 1.0
        speed = speed_full / (1.0 - slowdown + slowdown * filled)
        finish = now + (keys[0] - virtual) / speed if busy > 0 else np.inf
        arrival = arrivals[arrived] if arrived < count else np.inf
        event = min(finish, arrival, end_s)
        virtual += (event - now) * speed
        area += (event - now) * busy
        now = event
        if event >= end_s:
            break
        if finish <= arrival:
            virtual = keys[0]
            kv_used -= _pop(keys, tokens, busy)
            busy -= 1
            completed += 1.0
        else:
            arrived += 1
    state[TIME], state[VIRTUAL], state[BUSY], state[KV_USED] = now, virtual, busy, kv_used
    state[NEXT_ARRIVAL], state[NEXT_START] = arrived, started
    state[COMPLETED], state[BUSY_AREA] = completed, area
