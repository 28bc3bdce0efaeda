"""Which settings to run: the cheapest that meets an objective, with as few runs as will find it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from autoscale.simulation.compare import Job, Knobs
from autoscale.simulation.parallel import Runner
from autoscale.simulation.simulate import Run

LATE_FRACTIONS = (0.3, 0.1, 0.03, 0.01, 0.001, 1e-6)  # loosest first
HOLDS_S = (120.0, 300.0)
_SPARE_GPUS = (1, 2, 4)  # tried when the strictest settings miss the objective
_USUAL_RUNS = 23  # without spares

Progress = Callable[[int, int], None]


class Counter:
    """Runs jobs and reports how many are done."""

    def __init__(self, run_jobs: Runner, progress: Progress) -> None:
        self._run_jobs, self._progress, self._done = run_jobs, progress, 0

    def run(self, jobs: Sequence[Job]) -> list[tuple[Job, Run]]:
        """Each job with its run, in the order of the jobs."""
        results = []
        for result in self._run_jobs(jobs):
            results.append(result)
            self._done += 1
            self._progress(self._done, max(_USUAL_RUNS, self._done))
        order = {id(job): place for place, job in enumerate(jobs)}
        return sorted(results, key=lambda pair: order[id(pair[0])])

    def finish(self) -> None:
        """Report that all is done."""
        self._progress(self._done, self._done)


def tune(counter: Counter, base: Job, attainment: float) -> tuple[Job, Run]:
    """The cheapest setting that attains, with warm spares if need be; else the one of most."""
    return cheapest(_explore(counter, base, attainment), attainment)


def judge(counter: Counter, unseen: Job, knobs: Knobs, attainment: float) -> list[tuple[Job, Run]]:
    """The best in hindsight, and every late fraction with what else was chosen."""
    judged = _explore(counter, unseen, attainment)
    known = [job.knobs for job, _ in judged]
    wanted = [knobs | {"late_fraction": late} for late in LATE_FRACTIONS]
    judged += counter.run([replace(unseen, knobs=k) for k in wanted if k not in known])
    return sorted(judged, key=lambda pair: (-pair[0].knobs["late_fraction"], pair[1].gpu_hours))


def _explore(counter: Counter, base: Job, attainment: float) -> list[tuple[Job, Run]]:
    """Both holds; then, only while nothing attains, the longer one with more and more spares."""
    runs = _search(counter, base, [{"hold_down_s": hold_s} for hold_s in HOLDS_S], attainment)
    for gpus in _SPARE_GPUS:
        if max(run.attainment for _, run in runs) >= attainment:
            break
        spares = gpus * base.profile.replicas_per_gpu
        family: Knobs = {"hold_down_s": HOLDS_S[-1], "warm_spare_replicas": spares}
        runs += _search(counter, base, [family], attainment)
    return runs


def _search(
    counter: Counter, base: Job, families: list[Knobs], attainment: float
) -> list[tuple[Job, Run]]:
    """Runs that hold the cheapest setting that attains, if there is one, and the strictest if not.

    A stricter late fraction attains more and costs more, so for each family the loosest that
    attains is found by bisection: three runs instead of six.
    """
    spans = {place: (0, len(LATE_FRACTIONS)) for place in range(len(families))}
    done: list[tuple[Job, Run]] = []
    while tried := {place: sum(span) // 2 for place, span in spans.items() if span[0] < span[1]}:
        jobs = [
            replace(base, knobs={"late_fraction": LATE_FRACTIONS[at]} | families[place])
            for place, at in tried.items()
        ]
        results = counter.run(jobs)
        for (place, at), (_, run) in zip(tried.items(), results, strict=True):
            low, high = spans[place]
            spans[place] = (low, at) if run.attainment >= attainment else (at + 1, high)
        done += results
    return done


def cheapest(results: Sequence[tuple[Job, Run]], attainment: float) -> tuple[Job, Run]:
    """The fewest GPU-hours among those that attain; if none does, among those that attain most."""
    good = [pair for pair in results if pair[1].attainment >= attainment]
    if good:
        return min(good, key=lambda pair: (pair[1].gpu_hours, -pair[1].attainment))
    return max(results, key=lambda pair: (pair[1].attainment, -pair[1].gpu_hours))
