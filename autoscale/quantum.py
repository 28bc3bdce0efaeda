"""Replicas against slots when whole GPUs are what is paid for.

The placement of models on GPUs is packing's concern; here only counts matter. Pure.
"""

from __future__ import annotations

import math

from autoscale.parameters import Parameters

_ROUNDING = 1e-9  # 6.0000000001 replicas are 6


def capacity_slots(replicas: int, parameters: Parameters) -> float:
    """Useful slots of `replicas`, in units of a replica on a fully packed GPU.

    Service times are learnt on packed GPUs. On a part-filled one a replica is faster by the
    co-location curve: C(k) / k against C(q) / q.
    """
    quantum = parameters.replicas_per_gpu
    full, rest = divmod(replicas, quantum)
    return parameters.slots_per_replica * (full * quantum + _part(rest, parameters))


def replicas_for(slots: float, parameters: Parameters) -> int:
    """Fewest replicas whose `capacity_slots` is at least `slots`."""
    quantum = parameters.replicas_per_gpu
    needed = slots / parameters.slots_per_replica - _ROUNDING
    if needed <= 0.0:
        return 0
    full = math.floor(needed / quantum)
    rest = needed - full * quantum
    for extra in range(quantum + 1):
        if _part(extra, parameters) >= rest:
            return full * quantum + extra
    return (full + 1) * quantum


def whole_gpus(replicas: int, parameters: Parameters) -> int:
    """`replicas` rounded up to whole GPUs: a paid GPU is filled."""
    quantum = parameters.replicas_per_gpu
    return -(-replicas // quantum) * quantum


def _part(replicas: int, parameters: Parameters) -> float:
    curve = parameters.colocation_curve
    if not curve or replicas == 0:
        return float(replicas)
    return curve[replicas - 1] * len(curve) / curve[-1]
