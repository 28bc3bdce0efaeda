"""GPU-hours at equal attainment: two policies compared where they serve equally well. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from autoscale.simulation.compare import Job, interval
from autoscale.simulation.simulate import Run

Judged = list[tuple[Job, Run]]
Setting = tuple[str, tuple[tuple[str, float], ...]]
"""A policy and its knobs."""
World = tuple[float, int]
"""Start of the day and seed: what two policies share in a fair comparison."""


def at_target(points: list[tuple[float, float]], target: float) -> float | None:
    """GPU-hours at `target` on the lower frontier of (attainment, GPU-hours); None if not reached.

    Interpolated in the logarithm of the late share, with at least one request in 10^5 late.
    """
    front: list[tuple[float, float]] = []
    for attainment, hours in sorted(points, reverse=True):
        if not front or hours < front[-1][1]:
            front.append((attainment, hours))
    above = [point for point in front if point[0] >= target]
    below = [point for point in front if point[0] < target]
    if not above:
        return None
    if not below:
        return above[-1][1]
    (high, dear), (low, cheap) = above[-1], below[0]
    late = [math.log(max(1e-5, 1.0 - value)) for value in (high, target, low)]
    return dear + (cheap - dear) * (late[1] - late[0]) / max(1e-12, late[2] - late[0])


def world(job: Job) -> World:
    """The day and the luck of a run."""
    return job.cut.start_s, job.seed


def points(judged: Judged, policy: str, where: World) -> list[tuple[float, float]]:
    """(attainment, GPU-hours) of every setting of a policy in one world."""
    return [
        (run.attainment, run.gpu_hours)
        for job, run in judged
        if job.policy == policy and world(job) == where
    ]


def day_means(values: Iterable[tuple[World, float]]) -> list[float]:
    """One value a day: a day's seeds are averaged, because they are no samples of other days."""
    days: dict[float, list[float]] = {}
    for (day_s, _), value in values:
        days.setdefault(day_s, []).append(value)
    return [float(np.mean(seeds)) for seeds in days.values()]


def verdict(ratios_by_day: list[float], bar: float) -> str:
    """Whether the mean ratio is at most the bar, as far as the interval over days decides it."""
    if len(ratios_by_day) < 2:
        return "one period: no interval" if ratios_by_day else "in no run, so undecided"
    low, high = interval(ratios_by_day)
    if high <= bar:
        return "met"
    return "missed" if low > bar else "undecided"


def at_targets(judged: Judged, targets: Iterable[float]) -> dict[str, dict[str, Any]]:
    """Per policy and target: GPU-hours a day, and the ratio of ours to it, paired by world."""
    table: dict[str, dict[str, Any]] = {}
    for policy in _policies(judged):
        table[policy] = {
            str(target): _cell(
                {where: at_target(points(judged, policy, where), target) for where in worlds},
                {where: at_target(points(judged, "smallfirst", where), target) for where in worlds},
            )
            for target in targets
            if (worlds := [where for where in _worlds(judged) if points(judged, policy, where)])
        }
    return table


def at_their_attainment(judged: Judged) -> list[dict[str, Any]]:
    """Every setting of every rival, and what we need for the attainment that it had."""
    groups: dict[Setting, Judged] = {}
    for job, run in judged:
        if job.policy not in {"smallfirst", "clairvoyant"}:
            groups.setdefault((job.policy, tuple(job.knobs.items())), []).append((job, run))
    rows = []
    for (policy, knobs), runs in groups.items():
        ratios: dict[World, float] = {}
        for job, run in runs:
            ours = at_target(points(judged, "smallfirst", world(job)), run.attainment)
            if ours is not None:
                ratios[world(job)] = ours / run.gpu_hours
        attainments = day_means((world(job), run.attainment) for job, run in runs)
        rows.append(
            {
                "policy": policy,
                "knobs": dict(knobs),
                "worlds": len(runs),
                "attainment": float(np.mean(attainments)),
                "attainment_ci": interval(attainments),
                "gpu_hours": float(np.mean(day_means((world(j), r.gpu_hours) for j, r in runs))),
            }
            | _ratio(ratios, len(runs))
        )
    return rows


def _policies(judged: Judged) -> list[str]:
    return list(dict.fromkeys(job.policy for job, _ in judged))


def _worlds(judged: Judged) -> list[World]:
    return sorted({world(job) for job, _ in judged})


def _cell(theirs: dict[World, float | None], ours: dict[World, float | None]) -> dict[str, Any]:
    """GPU-hours where all worlds reach the target, and the ratio where both policies do."""
    reached = {where: hours for where, hours in theirs.items() if hours is not None}
    cell: dict[str, Any] = {"gpu_hours": None, "reached": len(reached), "of": len(theirs)}
    if len(reached) == len(theirs):
        by_day = day_means(reached.items())
        cell |= {"gpu_hours": float(np.mean(by_day)), "ci": interval(by_day)}
    ratios = {
        where: mine / reached[where]
        for where, mine in ours.items()
        if mine is not None and where in reached
    }
    return cell | _ratio(ratios, len(theirs))


def _ratio(ratios: dict[World, float], of: int) -> dict[str, Any]:
    """Ours over theirs: the mean of days, its interval, and in how many worlds it exists."""
    by_day = day_means(ratios.items())
    return {
        "ours_over_this": float(np.mean(by_day)) if by_day else None,
        "ratio_ci": interval(by_day) if by_day else None,
        "ratio_by_day": by_day,
        "ours_reached": len(ratios),
        "compared": of,
    }
