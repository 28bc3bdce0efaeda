"""The simulated replicas again, one SimPy process a request and one batch a replica.

Slow and plain: each replica has its own batch and speed, a dispatcher sends the head of the queue
to the replica with the fewest running. It is the reference that `plant`'s fast loop is held to,
and is itself held to Erlang-C and to Ciw in the tests.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from autoscale.simulation.workload import Floats, Profile, Workload


@dataclass(eq=False)
class _Replica:
    """One replica's batch: virtual time runs at its current speed."""

    env: simpy.Environment
    profile: Profile
    running: dict[int, tuple[float, simpy.Event]] = field(default_factory=dict)
    kv_used: float = 0.0
    virtual: float = 0.0
    changed_s: float = 0.0
    alarm: simpy.Process | None = None

    def fits(self, kv: float) -> bool:
        """True if a slot and the KV cache are free; an empty replica takes any request."""
        if len(self.running) >= self.profile.slots:
            return False
        return not self.running or self.kv_used + kv <= self.profile.kv_tokens

    def speed(self) -> float:
        slow = self.profile.batch_slowdown
        return 1.0 / (1.0 - slow + slow * len(self.running) / self.profile.slots)

    def settle(self) -> None:
        """Bring virtual time up to now; call before the batch changes."""
        self.virtual += (self.env.now - self.changed_s) * self.speed()
        self.changed_s = self.env.now

    def serve(self, index: int, work_s: float) -> simpy.Event:
        """An event that fires when the request is done."""
        self.settle()
        done = self.env.event()
        self.running[index] = (self.virtual + work_s, done)
        self.rearm()
        return done

    def rearm(self) -> None:
        """Sleep until the first completion at the present speed."""
        if (
            self.alarm is not None
            and self.alarm.is_alive
            and self.alarm is not self.env.active_process
        ):
            self.alarm.interrupt()
        self.alarm = self.env.process(self._wait()) if self.running else None

    def _wait(self) -> Generator[Any, Any, None]:
        index, (finish, done) = min(self.running.items(), key=lambda item: item[1][0])
        try:
            yield self.env.timeout(max(0.0, (finish - self.virtual) / self.speed()))
        except simpy.Interrupt:
            return
        self.settle()
        self.virtual = finish
        del self.running[index]
        done.succeed()
        self.rearm()


class Reference:
    """A fleet with a central first-come, first-served queue."""

    def __init__(self, workload: Workload, profile: Profile, replicas: int) -> None:
        self.env = simpy.Environment()
        self.workload, self.profile = workload, profile
        self.replicas = [_Replica(self.env, profile) for _ in range(replicas)]
        self.queue: deque[tuple[int, simpy.Event]] = deque()
        self.start_s = np.full(len(workload.arrival_s), math.inf)
        self.env.process(self._arrive())

    def scale(self, replicas: int) -> None:
        """Add empty replicas, or drain the newest: their running requests finish elsewhere."""
        while len(self.replicas) < replicas:
            self.replicas.append(_Replica(self.env, self.profile, changed_s=self.env.now))
        del self.replicas[replicas:]
        self._dispatch()

    def run(self, changes: tuple[tuple[float, int], ...] = ()) -> Floats:
        """Waits in seconds after running to the workload's end, with (time, replicas) changes."""
        for at, replicas in changes:
            self.env.run(until=at)
            self.scale(replicas)
        self.env.run(until=self.workload.end_s)
        begun: Floats = np.minimum(self.start_s, self.workload.end_s)
        return begun - self.workload.arrival_s

    def _arrive(self) -> Generator[Any, Any, None]:
        for index, at in enumerate(self.workload.arrival_s):
            yield self.env.timeout(max(0.0, at - self.env.now))
            self.env.process(self._request(index))

    def _request(self, index: int) -> Generator[Any, Any, None]:
        turn = self.env.event()
        self.queue.append((index, turn))
        self._dispatch()
        replica = yield turn
        self.start_s[index] = self.env.now
        kv = float(self.workload.kv_tokens[index])
        yield replica.serve(index, float(self.workload.work_s[index]))
        replica.kv_used -= kv
        self._dispatch()

    def _dispatch(self) -> None:
        while self.queue:
            index, turn = self.queue[0]
            kv = float(self.workload.kv_tokens[index])
            fitting = [r for r in self.replicas if r.fits(kv)]
            if not fitting:
                return
            replica = min(fitting, key=lambda r: len(r.running))
            self.queue.popleft()
            replica.settle()
            replica.kv_used += kv
            replica.running.setdefault(index, (math.inf, turn))
            turn.succeed(replica)
