"""Different models on as few equal GPUs as possible.

Exact by branch and bound up to `EXACT_ITEMS` replicas; above that, first-fit decreasing with the
gap to the lower bound reported, never hidden.
"""

from dataclasses import dataclass
from typing import NamedTuple

from autoscale.packing.plan import SHARES_PER_GPU

# 12 items take milliseconds in the worst case tried (tests/unit/packing/test_fleet.py).
EXACT_ITEMS = 12


class Item(NamedTuple):
    """One replica and the GPU memory it must have."""

    name: str
    needed_bytes: int


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Replicas by GPU. `lower_bound` GPUs are needed by any placement."""

    gpus: list[list[Item]]
    lower_bound: int
    optimal: bool

    @property
    def optimum_gap(self) -> int:
        """GPUs at most above the optimum; 0 if this is one."""
        return 0 if self.optimal else len(self.gpus) - self.lower_bound


def pack_fleet(items: list[Item], usable_bytes: int) -> FleetPlan:
    """A placement on the fewest GPUs, or on few with the gap stated.

    Raises: `ValueError` naming the first replica that is larger than a whole GPU.
    """
    for item in items:
        if item.needed_bytes > usable_bytes:
            over_gib = (item.needed_bytes - usable_bytes) / (1 << 30)
            raise ValueError(f"{item.name} alone needs {over_gib:.2f} GiB more than one GPU has")
    order = sorted(items, key=lambda item: -item.needed_bytes)
    best = _first_fit(order, usable_bytes)
    bound = lower_bound(items, usable_bytes)
    if len(best) > bound and len(items) <= EXACT_ITEMS:
        best = _search(order, usable_bytes, [], best, bound)
        return FleetPlan(best, len(best), True)
    return FleetPlan(best, bound, len(best) == bound)


def lower_bound(items: list[Item], usable_bytes: int) -> int:
    """GPUs that no placement can do without: by volume, and by items above half a GPU."""
    volume = -(-sum(item.needed_bytes for item in items) // usable_bytes)
    return max(volume, sum(2 * item.needed_bytes > usable_bytes for item in items))


def shares(gpu: list[Item], usable_bytes: int) -> list[float]:
    """Each replica's `num_gpus`: its part of the memory in Ray's ten-thousandths, at least one.

    Rounded down, so that the shares of a GPU never exceed it.
    """
    parts = [max(1, item.needed_bytes * SHARES_PER_GPU // usable_bytes) for item in gpu]
    return [part / SHARES_PER_GPU for part in parts]


def _first_fit(order: list[Item], usable_bytes: int) -> list[list[Item]]:
    gpus: list[list[Item]] = []
    for item in order:
        room = (gpu for gpu in gpus if _used(gpu) + item.needed_bytes <= usable_bytes)
        gpu = next(room, None)
        if gpu is None:
            gpus.append([item])
        else:
            gpu.append(item)
    return gpus


def _used(gpu: list[Item]) -> int:
    return sum(item.needed_bytes for item in gpu)


def _search(
    rest: list[Item],
    usable_bytes: int,
    gpus: list[list[Item]],
    best: list[list[Item]],
    bound: int,
) -> list[list[Item]]:
    """Branch and bound: the largest item left goes on each GPU with room, or on a new one."""
    if not rest:
        return [list(gpu) for gpu in gpus]
    item, tried = rest[0], set[int]()
    for gpu in gpus:
        used = _used(gpu)
        if used + item.needed_bytes <= usable_bytes and used not in tried:
            tried.add(used)  # GPUs equally full are alike
            gpu.append(item)
            best = _search(rest[1:], usable_bytes, gpus, best, bound)
            gpu.pop()
            if len(best) == bound:
                return best
    if len(gpus) + 1 < len(best):
        gpus.append([item])
        best = _search(rest[1:], usable_bytes, gpus, best, bound)
        gpus.pop()
    return best
