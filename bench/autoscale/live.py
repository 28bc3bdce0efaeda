"""The simulator against a live Ray cluster: the same 20 minutes of requests, both ways.

    python -m bench.autoscale.live            # 20 minutes of wall clock, little CPU
    python -m bench.autoscale.live --handover # half a minute: only the hand-over of a slot

Replicas are real Ray Serve actors that hold a slot for each request's work; the policy is the one
of `serve_config.yaml`. Compared: replica-hours and waits. The start-up and the hand-over between
two requests on a slot are measured live and given to the simulator. Appends to
bench/autoscale/results/live.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from autoscale.explain import read_journal
from autoscale.rivals import Smallfirst, parameters_for
from autoscale.simulate import Limits, simulate
from autoscale.workload import Floats, Profile, Workload

RESULTS = Path(__file__).parent / "results"
SEED = 5
STARTUP_S = 15.0  # slept in the replica's constructor, on top of Ray's own start
PROFILE = Profile(slots=4, service_s=3.0, replicas_per_gpu=2, startup_s=STARTUP_S + 3.0)
LIMITS = Limits(min_replicas=2, max_replicas=8, initial_replicas=2, tick_s=0.5)
PROBE_S = 24.0
# (seconds, requests a second): two surges beyond the 10.7 rps that 8 replicas can do
PHASES = ((240, 4.0), (240, 13.0), (300, 4.0), (180, 14.0), (240, 3.0))


def workload() -> Workload:
    """Poisson arrivals in phases, lognormal work of mean 3 s and CV 0.5."""
    rng = np.random.default_rng(SEED)
    parts, begin = [], 0.0
    for length_s, rate in PHASES:
        parts.append(begin + np.sort(rng.uniform(0, length_s, rng.poisson(rate * length_s))))
        begin += length_s
    arrival = np.concatenate(parts)
    sigma = float(np.sqrt(np.log1p(0.25)))
    work = PROFILE.service_s * rng.lognormal(-0.5 * sigma * sigma, sigma, len(arrival))
    return Workload(arrival, work, np.zeros(len(arrival)), begin, name="live-phases")


class Slots:
    """A replica that holds a slot for as long as the request says, and reports its counters."""

    def __init__(self, startup_s: float) -> None:
        self._running = 0
        self._completed = 0
        time.sleep(startup_s)

    async def __call__(self, work_s: float) -> float:
        """Unix time at which the request got its slot."""
        begun = time.time()
        self._running += 1
        await asyncio.sleep(work_s)
        self._running -= 1
        self._completed += 1
        return begun

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


def deploy(name: str, startup_s: float, policy: str, kwargs: dict[str, Any]) -> Any:
    """A handle to `Slots` under a policy, with the autoscaling fields of `serve_config.yaml`."""
    from ray import serve

    deployment = serve.deployment(Slots).options(
        name="Slots",
        max_ongoing_requests=PROFILE.slots,
        ray_actor_options={"num_cpus": 0.01},
        graceful_shutdown_timeout_s=30,
        autoscaling_config={
            "min_replicas": LIMITS.min_replicas,
            "max_replicas": LIMITS.max_replicas,
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


async def drive(handle: Any, load: Workload) -> Floats:
    """Send every request at its time; waits in seconds."""
    begin = time.time()

    async def one(at: float, work: float) -> float:
        await asyncio.sleep(max(0.0, begin + at - time.time()))
        return float(await handle.remote(work)) - (begin + at)

    pairs = zip(load.arrival_s, load.work_s, strict=True)
    return np.array(await asyncio.gather(*(one(float(a), float(w)) for a, w in pairs)))


async def watch(samples: list[tuple[float, int, int]], name: str) -> None:
    """Once a second: time, running and all replicas that Serve counts."""
    from ray import serve

    while True:
        status = await asyncio.to_thread(serve.status)
        states = status.applications[name].deployments["Slots"].replica_states
        counts = {str(state).rsplit(".", 1)[-1]: n for state, n in states.items()}
        samples.append((time.time(), counts.get("RUNNING", 0), sum(counts.values())))
        await asyncio.sleep(1.0)


def measure_handover() -> float:
    """Seconds a slot idles between two requests, on two full replicas of a fixed size."""
    from ray import serve

    deployment = serve.deployment(Slots).options(
        name="Probe",
        num_replicas=2,
        max_ongoing_requests=PROFILE.slots,
        ray_actor_options={"num_cpus": 0.01},
    )
    handle = serve.run(deployment.bind(0.0), name="probe", route_prefix=None)
    asyncio.run(_warm(handle))
    handover_s = asyncio.run(_saturate(handle, 2 * PROFILE.slots))
    serve.delete("probe")
    return handover_s


async def _saturate(handle: Any, slots: int) -> float:
    """Keep ten requests a slot in the system; what slots do not work while all could, they idle."""
    work = iter(workload().work_s.tolist())
    spans: list[tuple[float, float]] = []
    begin = time.time()
    end = begin + PROBE_S

    async def client() -> None:
        while time.time() < end:
            work_s = next(work) / 3.0
            begun = float(await handle.remote(work_s))
            spans.append((begun, begun + work_s))

    await asyncio.gather(*(client() for _ in range(10 * slots)))
    first = begin + 0.25 * PROBE_S
    busy_s = sum(max(0.0, min(e, end) - max(b, first)) for b, e in spans)
    done = sum(first <= e < end for _, e in spans)
    return (slots * (end - first) - busy_s) / done


async def _warm(handle: Any) -> None:
    """The first requests pay for Serve's connections, not for the policy."""
    await asyncio.gather(*(handle.remote(0.1) for _ in range(8)))


async def _live(load: Workload, handle: Any) -> tuple[Floats, list[tuple[float, int, int]]]:
    samples: list[tuple[float, int, int]] = []
    watcher = asyncio.create_task(watch(samples, "live"))
    waits = await drive(handle, load)
    watcher.cancel()
    return waits, samples


def figures(waits: Floats, replica_hours: float) -> dict[str, float]:
    """What is compared."""
    p50, p90, p99 = (float(q) for q in np.quantile(waits, (0.5, 0.9, 0.99)))
    return {
        "replica_hours": replica_hours,
        "wait_p50_s": p50,
        "wait_p90_s": p90,
        "wait_p99_s": p99,
        "attainment_2s": float((waits <= 2.0).mean()),
    }


def main(
    minutes: Annotated[float, typer.Option(help="Part of the 20 minutes to run.")] = 20.0,
    handover: Annotated[bool, typer.Option("--handover", help="Measure only that.")] = False,
) -> None:
    """Run live, then simulate, then compare."""
    if handover:
        with cluster():
            print(json.dumps({"handover_s": [measure_handover() for _ in range(3)]}))
        return
    load = workload()
    kept = load.arrival_s < minutes * 60.0
    end_s = min(load.end_s, minutes * 60.0)
    load = replace(
        load,
        arrival_s=load.arrival_s[kept],
        work_s=load.work_s[kept],
        kv_tokens=load.kv_tokens[kept],
        end_s=end_s,
    )
    journal = Path(tempfile.mkdtemp(prefix="asj", dir="/tmp")) / "live.jsonl"
    with cluster():
        handover_s = measure_handover()
        kwargs = policy_kwargs(str(journal))
        handle = deploy("live", STARTUP_S, "autoscale.policy:QueueDepthPolicy", kwargs)
        asyncio.run(_warm(handle))
        waits, samples = asyncio.run(_live(load, handle))
    begin = samples[0][0]
    inside = [s for s in samples if s[0] < begin + end_s]
    live = figures(waits, float(np.mean([s[2] for s in inside])) * end_s / 3600.0)
    entries = list(read_journal(journal))
    startup_s = float(entries[-1].terms["startup_s"])
    profile = replace(PROFILE, startup_s=startup_s, startup_cv=0.05, handover_s=handover_s)
    settings = {k: v for k, v in policy_kwargs("").items() if k != "journal_path"}
    policy = Smallfirst(parameters_for(profile, **settings))
    run = simulate(("smallfirst", policy), load, profile, LIMITS, SEED)
    simulated = figures(run.waits_s, run.replica_hours)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "minutes": end_s / 60.0,
        "requests": len(waits),
        "startup_s_measured": startup_s,
        "handover_s_measured": handover_s,
        "decisions_replayed": len(entries),
        "decisions_identical": sum(entry.replays() for entry in entries),
        "live": live,
        "simulated": simulated,
        "relative_error": {
            key: (simulated[key] - live[key]) / live[key] if live[key] else None for key in live
        },
        "live_replicas": [[round(s[0] - begin), s[1], s[2]] for s in samples[::10]],
        "simulated_targets": run.targets[::20].tolist(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "live.json"
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.write_text(json.dumps([*runs, result], indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, list)}, indent=1))


if __name__ == "__main__":
    typer.run(main)
