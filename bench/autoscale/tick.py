"""CPU time of one tick of the live policy: 24 replicas, a full history, journal on.

    python -m bench.autoscale.tick

Bar: at most 1 ms at p99. Writes bench/autoscale/results/tick.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from autoscale.policy import QueueDepthPolicy

TICKS = 20_000
REPLICAS = 24


def context(tick: int) -> SimpleNamespace:
    """Ray's 0.13 s tick under noisy steady load."""
    time_s = 1.7e9 + 0.13 * tick
    names = [f"replica-{i}" for i in range(REPLICAS)]
    busy = 10.0 + 3.0 * np.sin(tick / 900.0)
    return SimpleNamespace(
        deployment_name="SmallTier",
        current_num_replicas=REPLICAS,
        target_num_replicas=REPLICAS,
        total_num_requests=busy * REPLICAS,
        total_queued_requests=0.0,
        aggregated_metrics={
            "engine_waiting": dict.fromkeys(names, 0.0),
            "engine_running": dict.fromkeys(names, busy),
            "kv_cache_usage": dict.fromkeys(names, 0.4),
            "completed_total": dict.fromkeys(names, 0.13 * tick * busy / 6.0),
        },
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=64,
        current_time=time_s,
    )


def main() -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as folder:
        policy = QueueDepthPolicy(slots_per_replica=16, journal_path=f"{folder}/journal.jsonl")
        taken = np.empty(TICKS)
        for tick in range(TICKS):
            ctx = context(tick)
            begun = time.thread_time()  # CPU time of this thread: the machine is shared
            policy(ctx)
            taken[tick] = time.thread_time() - begun
    warm = taken[TICKS // 3 :] * 1e6
    p50, p99, worst = (float(q) for q in np.quantile(warm, (0.5, 0.99, 1.0)))
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": "2 cores of an AMD EPYC, 24 GiB, no GPU; shared with other jobs",
        "ticks": len(warm),
        "tick_us_p50": round(p50),
        "tick_us_p99": round(p99),
        "tick_us_max": round(worst),
    }
    path = Path(__file__).parent / "results" / "tick.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
