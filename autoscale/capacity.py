"""What one replica can do: service time and start-up time, learnt while serving.

Pure: states go in and come out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_MEMORY_S = 900.0  # the mix of request lengths changes over tens of minutes
_PRIOR_REQUESTS = 50.0  # completions that weigh as much as the configured prior
_WARM_S = 30.0  # a replica's first requests run while caches and kernels warm up
_STARTUP_GAIN = 0.3  # weight of the newest start-up time
_STARTUP_MOST = 3.0  # priors: as long as `calm` waits for a start, and the most that is learnt
_STARTUP_CENSORED = 10.0  # priors: a start beyond waited for a node
_STARTUP_LEAST_S = 40.0  # a prior below counts as this much: engines do not load in seconds
_STARTS_MAX = 32


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sums with exponential forgetting. Little's law: service time = busy slot-seconds / done."""

    time_s: float
    completed: float
    replicas: int
    busy_s: float
    done: float
    startup_s: float
    grown_s: float = -1e18
    """When the number of running replicas last rose."""
    startup_prior_s: float = 60.0
    """What was believed before. Against it, a start that waited for hardware stands out."""
    starts: tuple[tuple[float, int], ...] = ()
    """Unfinished scale-ups: (time asked, replicas asked for)."""

    @property
    def service_s(self) -> float:
        """Mean seconds a request holds a slot."""
        return self.busy_s / self.done


def first_capacity(flow_time_s: float, completed: float, replicas: int, priors: Priors) -> Capacity:
    """The state before anything was measured: the priors."""
    return Capacity(
        time_s=flow_time_s,
        completed=completed,
        replicas=replicas,
        busy_s=priors.service_s * _PRIOR_REQUESTS,
        done=_PRIOR_REQUESTS,
        startup_s=priors.startup_s,
        startup_prior_s=priors.startup_s,
    )


@dataclass(frozen=True, slots=True)
class Priors:
    """What is believed before measuring, seconds."""

    service_s: float
    startup_s: float


@dataclass(frozen=True, slots=True)
class Service:
    """One tick's view: busy slots, completions in all, running and asked-for replicas."""

    time_s: float
    busy: float
    completed: float
    current_replicas: int
    target_replicas: int


def learn(capacity: Capacity, tick: Service) -> Capacity:
    """The state after one tick. Ticks soon after a start teach nothing about service times."""
    elapsed_s = tick.time_s - capacity.time_s
    grown = tick.current_replicas > capacity.replicas
    grown_s = tick.time_s if grown else capacity.grown_s
    busy_s, done = capacity.busy_s, capacity.done
    if tick.time_s - grown_s >= _WARM_S and elapsed_s > 0.0:
        kept = max(0.0, 1.0 - elapsed_s / _MEMORY_S)
        new_busy_s = busy_s * kept + tick.busy * elapsed_s
        new_done = done * kept + max(0.0, tick.completed - capacity.completed)
        if new_done >= 1.0 and new_busy_s > 0.0:
            busy_s, done = new_busy_s, new_done
    startup_s, starts = _follow_starts(capacity, tick)
    return replace(
        capacity,
        time_s=tick.time_s,
        completed=tick.completed,
        replicas=tick.current_replicas,
        busy_s=busy_s,
        done=done,
        grown_s=grown_s,
        startup_s=startup_s,
        starts=starts,
    )


def learnt_startup(capacity: Capacity, took_s: float) -> float:
    """The start-up time after a start that took so long.

    A start far beyond the prior waited for hardware: it says when a GPU was to be had, not how long
    a replica takes to start, and teaches nothing. A slow one counts at most a few priors.
    """
    prior_s = max(capacity.startup_prior_s, _STARTUP_LEAST_S)
    if took_s > _STARTUP_CENSORED * prior_s:
        return capacity.startup_s
    sample_s = min(took_s, _STARTUP_MOST * prior_s)
    return capacity.startup_s + (sample_s - capacity.startup_s) * _STARTUP_GAIN


def _follow_starts(
    capacity: Capacity, tick: Service
) -> tuple[float, tuple[tuple[float, int], ...]]:
    """Start-up time from scale-ups that arrived; those no longer wanted are forgotten."""
    startup_s = capacity.startup_s
    waiting = []
    for asked_s, replicas in capacity.starts:
        if replicas <= tick.current_replicas:
            startup_s = learnt_startup(
                replace(capacity, startup_s=startup_s), tick.time_s - asked_s
            )
        elif replicas <= tick.target_replicas:
            waiting.append((asked_s, replicas))
    known = waiting[-1][1] if waiting else tick.current_replicas
    if tick.target_replicas > known:
        waiting.append((tick.time_s, tick.target_replicas))
    return startup_s, tuple(waiting[-_STARTS_MAX:])
