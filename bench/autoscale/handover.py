"""Seconds a slot of a live replica idles between two requests: an input of the simulator."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

from bench.autoscale.live_cluster import PROFILE, Slots, warm

PROBE_S = 24.0


def measure_handover(work_s: Sequence[float]) -> float:
    """Seconds a slot idles between two requests, on two full replicas of a fixed size.

    Requests take a third of `work_s` each.
    """
    from ray import serve

    deployment = serve.deployment(Slots).options(
        name="Probe",
        num_replicas=2,
        max_ongoing_requests=PROFILE.slots,
        ray_actor_options={"num_cpus": 0.01},
    )
    handle = serve.run(deployment.bind(0.0), name="probe", route_prefix=None)
    asyncio.run(warm(handle))
    handover_s = asyncio.run(_saturate(handle, 2 * PROFILE.slots, work_s))
    serve.delete("probe")
    return handover_s


async def _saturate(handle: Any, slots: int, work_s: Sequence[float]) -> float:
    """Keep ten requests a slot in the system; what slots do not work while all could, they idle."""
    work = itertools.cycle(work_s)
    spans: list[tuple[float, float]] = []
    begin = time.time()
    end = begin + PROBE_S

    async def client() -> None:
        while time.time() < end:
            held_s = next(work) / 3.0
            begun = float(await handle.remote(held_s))
            spans.append((begun, begun + held_s))

    await asyncio.gather(*(client() for _ in range(10 * slots)))
    first = begin + 0.25 * PROBE_S
    busy_s = sum(max(0.0, min(e, end) - max(b, first)) for b, e in spans)
    done = sum(first <= e < end for _, e in spans)
    return (slots * (end - first) - busy_s) / done
