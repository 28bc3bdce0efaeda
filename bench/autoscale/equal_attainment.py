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


def at_targets(judged: Judged, targets: Iterable[float]) -> dict[str, dict[str, Any]]:
    """Per policy and target: GPU-hours with the interval over days and seeds; paired ratios.

    A policy that was run with fewer seeds than ours is compared on its own worlds only.
    """
    table: dict[str, dict[str, Any]] = {}
    for policy in _policies(judged):
        worlds = [where for where in _worlds(judged) if points(judged, policy, where)]
        table[policy] = {
            str(target): _cell(
                [at_target(points(judged, policy, where), target) for where in worlds],
                [at_target(points(judged, "smallfirst", where), target) for where in worlds],
            )
            for target in targets
        }
    return table


def at_their_attainment(judged: Judged) -> list[dict[str, Any]]:
    """Every setting of every rival, and what we need for the attainment that it had.

    Compared are only days and seeds in which all of our settings were run.
    """
    most = max(len(points(judged, "smallfirst", where)) for where in _worlds(judged))
    groups: dict[Setting, Judged] = {}
    for job, run in judged:
        if job.policy not in {"smallfirst", "clairvoyant"}:
            groups.setdefault((job.policy, tuple(job.knobs.items())), []).append((job, run))
    rows = []
    for (policy, knobs), runs in groups.items():
        ratios = []
        for job, run in runs:
            if len(points(judged, "smallfirst", world(job))) < most:
                continue
            ours = at_target(points(judged, "smallfirst", world(job)), run.attainment)
            ratios.append(math.nan if ours is None else ours / run.gpu_hours)
        reached = [ratio for ratio in ratios if not math.isnan(ratio)]
        rows.append(
            {
                "policy": policy,
                "knobs": dict(knobs),
                "worlds": len(runs),
                "attainment": float(np.mean([run.attainment for _, run in runs])),
                "attainment_ci": interval([run.attainment for _, run in runs]),
                "gpu_hours": float(np.mean([run.gpu_hours for _, run in runs])),
                "compared": len(ratios),
                "ours_reached": len(reached),
                "ours_over_this": float(np.mean(reached)) if reached else None,
                "ratio_ci": interval(reached) if reached else None,
            }
        )
    return rows


def _policies(judged: Judged) -> list[str]:
    return list(dict.fromkeys(job.policy for job, _ in judged))


def _worlds(judged: Judged) -> list[World]:
    return sorted({world(job) for job, _ in judged})


def _cell(theirs: list[float | None], ours: list[float | None]) -> dict[str, Any]:
    if any(value is None for value in theirs):
        return {"gpu_hours": None, "reached": sum(v is not None for v in theirs), "of": len(theirs)}
    values = [value for value in theirs if value is not None]
    cell: dict[str, Any] = {"gpu_hours": float(np.mean(values)), "ci": interval(values)}
    if all(value is not None for value in ours):
        ratios = [o / t for o, t in zip(ours, values, strict=True) if o is not None]
        cell |= {"ours_over_this": float(np.mean(ratios)), "ratio_ci": interval(ratios)}
    return cell
