"""Runs jobs on one trace in as many processes as there are cores.

Every policy meets the same requests and start-up times for a seed (common random numbers).
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from autoscale.simulation.arrivals import Cut, make_workload
from autoscale.simulation.compare import POLICIES, Job
from autoscale.simulation.simulate import Run, simulate
from autoscale.simulation.traces import RateTrace, Trace
from autoscale.simulation.workload import Profile, Workload, with_spikes

_trace: Trace | None = None
_NO_WAITS = np.empty(0)


def _share(trace: Trace) -> None:
    global _trace  # a process serves one trace; passing it with each job would copy it
    _trace = trace
    _workload.cache_clear()


@functools.lru_cache(maxsize=2)
def _workload(
    cut: Cut, profile: Profile, seed: int, spikes: tuple[float, ...], cv_scale: float
) -> Workload:
    assert _trace is not None
    trace = _trace
    if cv_scale != 1.0 and isinstance(trace, RateTrace):
        trace = replace(trace, cv=trace.cv * cv_scale)
    workload = make_workload(trace, cut, profile, seed)
    return with_spikes(workload, 3, spikes, 600.0) if spikes else workload


def _run(job: Job) -> Run:
    workload = _workload(job.cut, job.profile, job.seed, job.spikes, job.cv_scale)
    policy = POLICIES[job.policy](job, workload)
    run = simulate((job.policy, policy), workload, job.profile, job.limits, job.seed)
    return replace(run, waits_s=_NO_WAITS)  # tens of megabytes that no summary needs


Runner = Callable[[Sequence[Job]], Iterator[tuple[Job, Run]]]
"""Gives each job with its run (without waits), in the order they finish. Jobs of one workload are
best adjacent."""


@contextmanager
def runner(trace: Trace, most: int | None = None) -> Iterator[Runner]:
    """Processes, at most `most`, that keep the trace and their last two workloads between calls."""
    cores = len(os.sched_getaffinity(0))
    count = cores if most is None else min(most, cores)
    if count <= 1:
        _share(trace)
        yield lambda jobs: ((job, _run(job)) for job in jobs)
        return
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, fork, initializer=_share, initargs=(trace,))
    try:
        yield functools.partial(_as_they_finish, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _as_they_finish(pool: ProcessPoolExecutor, jobs: Sequence[Job]) -> Iterator[tuple[Job, Run]]:
    futures = {pool.submit(_run, job): job for job in jobs}
    for done in as_completed(futures):
        yield futures[done], done.result()


def run_all(trace: Trace, jobs: Sequence[Job]) -> Iterator[tuple[Job, Run]]:
    """What a `runner` gives, with processes of its own."""
    with runner(trace, len(jobs)) as run:
        yield from run(jobs)
