"""A local Ray of its own whose replicas hold a slot for as long as each request says."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoscale.simulation.simulate import Limits
from autoscale.simulation.workload import Profile

STARTUP_S = 15.0  # slept in the replica's constructor, on top of Ray's own start
PROFILE = Profile(slots=4, service_s=3.0, replicas_per_gpu=2, startup_s=STARTUP_S + 3.0)
LIMITS = Limits(min_replicas=2, max_replicas=8, initial_replicas=2, tick_s=0.5)


class Slots:
    """A replica that holds a slot for as long as the request says, and reports its counters."""

    def __init__(self, startup_s: float) -> None:
        self._running = 0
        self._completed = 0
        self._freed: deque[float] = deque()
        time.sleep(startup_s)

    async def __call__(self, work_s: float) -> tuple[float, float]:
        """Unix times at which the request got its slot, and at which that slot had become free.

        The second is 0 for a slot that was never used.
        """
        begun = time.time()
        freed = self._freed.popleft() if self._freed else 0.0
        self._running += 1
        await asyncio.sleep(work_s)
        self._running -= 1
        self._completed += 1
        self._freed.append(time.time())
        return begun, freed

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The counters of a tier's replica."""
        return {
            "engine_waiting": 0.0,
            "engine_running": float(self._running),
            "kv_cache_usage": 0.0,
            "completed_total": float(self._completed),
        }


@contextmanager
def cluster() -> Iterator[None]:
    """A local Ray of its own, without HTTP, stopped at the end."""
    # A shared 2-core machine answers queue-length probes late; Ray's default of 0.1 s is short.
    # Ray reads its settings when it is imported.
    os.environ["RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S"] = "1.0"
    os.environ["PYTHONPATH"] = str(Path.cwd())
    import ray
    from ray import serve

    folder = tempfile.mkdtemp(prefix="asr", dir="/tmp")
    ray.init(num_cpus=8, include_dashboard=False, _temp_dir=folder, log_to_driver=False)
    serve.start(proxy_location="Disabled")
    try:
        yield
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def deploy(
    name: str,
    startup_s: float,
    policy: str,
    kwargs: dict[str, Any],
    max_replicas: int = LIMITS.max_replicas,
) -> Any:
    """A handle to `Slots` under a policy, with the autoscaling fields of `serve_config.yaml`."""
    from ray import serve

    deployment = serve.deployment(Slots).options(
        name="Slots",
        max_ongoing_requests=PROFILE.slots,
        ray_actor_options={"num_cpus": 0.01},
        graceful_shutdown_timeout_s=30,
        autoscaling_config={
            "min_replicas": LIMITS.min_replicas,
            "max_replicas": max_replicas,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 3.0,
            "upscale_delay_s": 0.0,
            "downscale_delay_s": 0.0,
            "policy": {"policy_function": policy, "policy_kwargs": kwargs},
        },
    )
    return serve.run(deployment.bind(startup_s), name=name, route_prefix=None)


def policy_kwargs(journal: str) -> dict[str, Any]:
    """The settings of both sides."""
    return {
        "slots_per_replica": PROFILE.slots,
        "service_prior_s": PROFILE.service_s,
        "startup_prior_s": PROFILE.startup_s,
        "replicas_per_gpu": PROFILE.replicas_per_gpu,
        "hold_down_s": 60.0,
        "late_fraction": 0.05,
        "journal_path": journal,
    }


async def warm(handle: Any) -> None:
    """The first requests pay for Serve's connections, not for the policy."""
    await asyncio.gather(*(handle.remote(0.1) for _ in range(8)))
