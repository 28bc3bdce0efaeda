"""Runs one policy against one workload under a virtual clock and accounts for what it cost.

The same `decide` that runs in production is called here every `tick_s`; rivals see what their own
metric pipelines would show them. Random numbers belong to the workload and to the n-th replica
start, so every policy meets the same luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autoscale.simulation.plant import Pool, Progress, run_until, waiting
from autoscale.simulation.workload import Floats, Profile, Workload, longest_left_s


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and clock of a run."""

    min_replicas: int = 1
    max_replicas: int = 400
    initial_replicas: int = 0
    """0 starts with what the first five minutes of traffic need at 70% use."""
    tick_s: float = 1.0
    slo_wait_s: float = 2.0


@dataclass(slots=True)
class History:
    """Gauges at every tick so far; policies read the past through their own windows."""

    in_system: Floats
    queued: Floats
    completed: Floats
    ticks: int = 0
    tick_s: float = 1.0

    def mean(self, series: Floats, window_s: float) -> float:
        """Mean of the last `window_s` seconds of a series."""
        count = max(1, round(window_s / self.tick_s))
        if count == 1:
            return float(series[self.ticks - 1]) if self.ticks else 0.0
        window = series[max(0, self.ticks - count) : self.ticks]
        return float(window.mean()) if len(window) else 0.0


@dataclass(frozen=True, slots=True)
class Tick:
    """What a policy may look at: time, replicas and the history of gauges."""

    time_s: float
    current: int
    target: int
    history: History
    limits: Limits


Policy = Callable[[Tick], int]


@dataclass(frozen=True, slots=True)
class Run:
    """What happened. Waits in seconds; requests that never started wait until the end."""

    policy: str
    trace: str
    attainment: float
    gpu_hours: float
    replica_hours: float
    reversals: float
    """Changes of direction of the target, a day."""
    wait_p50_s: float
    wait_p99_s: float
    starts: int
    cancelled_starts: int
    requests: int
    targets: NDArray[np.int64] = field(repr=False)
    waits_s: Floats = field(repr=False)


class Fleet:
    """Replicas that start, run and drain; counts the GPUs they hold."""

    def __init__(self, profile: Profile, running: int, seed: int, drain_s: float) -> None:
        self._profile, self._drain_s = profile, drain_s
        self._rng = np.random.default_rng((seed, 0xF1EE7))
        self.running = running
        self._starting: list[float] = []
        self._draining: list[tuple[float, int]] = []
        self.starts = self.cancelled = 0

    @property
    def target(self) -> int:
        """Running and starting."""
        return self.running + len(self._starting)

    def step(self, now_s: float) -> None:
        """Let finished start-ups join and drained replicas go."""
        if self._starting:
            ready = sum(1 for at in self._starting if at <= now_s)
            if ready:
                self._starting = [at for at in self._starting if at > now_s]
                self.running += ready
        if self._draining:
            self._draining = [(at, n) for at, n in self._draining if at > now_s]

    def scale(self, now_s: float, target: int) -> None:
        """Start what is missing; stop starting replicas first, then running ones (as Ray does)."""
        for _ in range(target - self.target):
            self._starting.append(now_s + self._startup_s())
            self.starts += 1
        surplus = self.target - target
        while surplus > 0 and self._starting:
            self._starting.remove(max(self._starting))
            self.cancelled += 1
            surplus -= 1
        if surplus > 0:
            self.running -= surplus
            self._draining.append((now_s + self._drain_s, surplus))

    def _startup_s(self) -> float:
        cv = self._profile.startup_cv
        if cv <= 0.0:
            return self._profile.startup_s
        sigma = math.sqrt(math.log1p(cv * cv))
        return float(self._profile.startup_s * self._rng.lognormal(-0.5 * sigma * sigma, sigma))

    def held(self) -> int:
        """Replicas that occupy GPU memory: starting, running, draining."""
        return self.target + sum(n for _, n in self._draining)

    def pool(self) -> Pool:
        """What `run_until` needs to know of the running replicas."""
        profile, quantum = self._profile, self._profile.replicas_per_gpu
        speed = 1.0
        curve = profile.colocation_curve
        full, rest = divmod(self.running, quantum)
        if curve and rest and self.running:
            part = curve[rest - 1] * quantum / curve[-1]
            speed = (full * quantum + part) / self.running
        slots, kv_tokens = self.running * profile.slots, self.running * profile.kv_tokens
        return Pool(slots, kv_tokens, profile.batch_slowdown, speed)


def simulate(
    policy: tuple[str, Policy], workload: Workload, profile: Profile, limits: Limits, seed: int = 0
) -> Run:
    """One run of a policy over a workload."""
    name, choose = policy
    count, ticks = len(workload.arrival_s), math.ceil(workload.end_s / limits.tick_s)
    held_s = workload.work_s + profile.handover_s
    requests, batch = waiting(workload.arrival_s, held_s, workload.kv_tokens)
    progress = Progress()
    replicas = limits.initial_replicas or first_replicas(workload, profile)
    fleet = Fleet(profile, replicas, seed, longest_left_s(workload.work_s, profile.slots))
    history = History(np.zeros(ticks), np.zeros(ticks), np.zeros(ticks), tick_s=limits.tick_s)
    targets, gpu_s, replica_s = np.zeros(ticks, dtype=np.int64), 0.0, 0.0
    pool, pooled = fleet.pool(), fleet.running
    for tick in range(ticks):
        now_s = (tick + 1) * limits.tick_s
        progress = run_until(now_s, pool, requests, batch, progress)
        history.in_system[tick] = progress.arrived - progress.completed
        history.queued[tick] = progress.arrived - progress.started
        history.completed[tick] = progress.completed
        history.ticks = tick + 1
        fleet.step(now_s)
        wanted = choose(
            Tick(workload.clock_s + now_s, fleet.running, fleet.target, history, limits)
        )
        fleet.scale(now_s, max(limits.min_replicas, min(limits.max_replicas, wanted)))
        targets[tick] = fleet.target
        held = fleet.held()
        replica_s += held * limits.tick_s
        gpu_s += -(-held // profile.replicas_per_gpu) * limits.tick_s
        if fleet.running != pooled:
            pool, pooled = fleet.pool(), fleet.running
    assert progress.time_s >= workload.end_s
    waits_s = np.minimum(requests.start_s, workload.end_s) - workload.arrival_s
    median, p99 = np.quantile(waits_s, (0.5, 0.99)) if count else (0.0, 0.0)
    return Run(
        policy=name,
        trace=workload.name,
        attainment=float((waits_s <= limits.slo_wait_s).mean()) if count else 1.0,
        gpu_hours=gpu_s / 3600.0,
        replica_hours=replica_s / 3600.0,
        reversals=reversals(targets) * 86_400.0 / workload.end_s,
        wait_p50_s=float(median),
        wait_p99_s=float(p99),
        starts=fleet.starts,
        cancelled_starts=fleet.cancelled,
        requests=count,
        targets=targets,
        waits_s=waits_s,
    )


def first_replicas(workload: Workload, profile: Profile) -> int:
    """Whole GPUs for the first five minutes at 70% use, so that no run starts in a hole."""
    early = workload.arrival_s < 300.0
    load = float(workload.work_s[early].sum()) / min(300.0, workload.end_s)
    gpus = math.ceil(load / 0.7 / profile.slots / profile.replicas_per_gpu)
    return max(1, gpus) * profile.replicas_per_gpu


def reversals(targets: NDArray[np.int64]) -> int:
    """Times the target changed direction."""
    moves = np.sign(np.diff(targets))
    moves = moves[moves != 0]
    return int((moves[1:] != moves[:-1]).sum())
