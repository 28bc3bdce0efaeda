"""One replica on both cores beside two replicas on one core each, with the real INT4 model.

    python -m bench.packing.replicas --model FOLDER [--rounds 3] [--write]

All three engines stay loaded; phases alternate between the two set-ups, so that noise of the
machine meets both. Closed loop: 8 clients. Open loop: Poisson arrivals, the same times for both.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from autoscale.gpus import Gpu
from autoscale.packing import Overheads
from autoscale.packing_kv import Demand
from autoscale.packing_throughput import gpu_step_s
from deployments.commands.plan_model import Calibration, footprint_of
from models.checkpoint import read_checkpoint

RESULTS = Path(__file__).parent / "replicas.json"
SETUPS = {"1 replica, 2 cores": ["0-1"], "2 replicas, 1 core each": ["0", "1"]}
CLIENTS = 8
REQUESTS = 24
MAX_TOKENS = 32
OPEN_RPS = 1.0


class Worker:
    """A replica's process and its two pipes."""

    def __init__(self, model: Path, cores: str) -> None:
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": cores,
        }
        command = [sys.executable, "-m", "bench.packing.replica_worker", str(model)]
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._line("READY")

    def _line(self, mark: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(mark):
                return line.removeprefix(mark)
        raise RuntimeError("a replica ended before it answered")

    def start(self, phase: dict[str, Any]) -> None:
        """Send a phase; returns at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(phase) + "\n")
        self._process.stdin.flush()

    def figures(self) -> dict[str, Any]:
        """Wait for the phase's times."""
        found = json.loads(self._line("PHASE"))
        assert isinstance(found, dict)
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def run_phase(
    workers: list[Worker], arrivals_s: list[float], clients: int | None
) -> dict[str, float]:
    """Share one phase's requests out in turn; tokens/s, TTFT and ITL over all replicas."""
    start_s = time.time() + 0.5
    share = len(workers)
    for index, worker in enumerate(workers):
        phase = {
            "start_s": start_s,
            "arrivals_s": arrivals_s[index::share],
            "max_tokens": MAX_TOKENS,
            "clients": clients and clients // share,
        }
        worker.start(phase)
    answers = [worker.figures() for worker in workers]
    tokens = [times for answer in answers for times in answer["tokens"]]
    sent = [moment for answer in answers for moment in answer["sent"]]
    gaps = [b - a for times in tokens for a, b in itertools.pairwise(times)]
    ttft = [times[0] - moment for times, moment in zip(tokens, sent, strict=True)]
    end_s = max(times[-1] for times in tokens)
    return {
        "tokens_per_s": sum(map(len, tokens)) / (end_s - start_s),
        "ttft_p50_s": statistics.median(ttft),
        "ttft_p99_s": sorted(ttft)[int(0.99 * (len(ttft) - 1))],
        "itl_p50_s": statistics.median(gaps),
    }


def predicted_ratio(model: Path) -> float:
    """Two replicas' tokens/s for each of one's, as the plan's roofline has it.

    Each core reads half of the memory bandwidth; the absolute bandwidth cancels out.
    """
    demand = Demand(512, CLIENTS, block_size=128)
    footprint = footprint_of(read_checkpoint(model), demand, Calibration())
    whole = Gpu("both cores", 8, 20, 1000, "cancels out")
    half = whole._replace(bandwidth_gb_per_s=10)
    context = MAX_TOKENS
    host_s = Overheads().host_step_s
    one = CLIENTS / (gpu_step_s(footprint, whole, CLIENTS, context) + host_s)
    two = CLIENTS / (gpu_step_s(footprint, half, CLIENTS // 2, context) + host_s)
    return two / one


def main() -> None:
    """Load three replicas, alternate, print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    setups = {
        name: [Worker(arguments.model, cores) for cores in bindings]
        for name, bindings in SETUPS.items()
    }
    generator = random.Random(4)
    loops: dict[str, dict[str, list[dict[str, float]]]] = {"closed": {}, "open": {}}
    try:
        for _ in range(arguments.rounds):
            gaps = [generator.expovariate(OPEN_RPS) for _ in range(REQUESTS)]
            arrivals = [sum(gaps[: index + 1]) for index in range(REQUESTS)]
            for name, workers in setups.items():
                closed = run_phase(workers, [0.0] * REQUESTS, CLIENTS)
                loops["closed"].setdefault(name, []).append(closed)
                loops["open"].setdefault(name, []).append(run_phase(workers, arrivals, None))
    finally:
        for workers in setups.values():
            for worker in workers:
                worker.stop()
    report(loops, predicted_ratio(arguments.model), arguments.write)


def report(
    loops: dict[str, dict[str, list[dict[str, float]]]], predicted: float, write: bool
) -> None:
    """Medians over the rounds, as a table and a file."""
    medians = {
        loop: {
            name: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
            for name, rounds in setups.items()
        }
        for loop, setups in loops.items()
    }
    for loop, setups in medians.items():
        for name, row in setups.items():
            figures = "  ".join(f"{key} {value:8.3f}" for key, value in row.items())
            print(f"{loop:6} {name:24} {figures}")
    one, two = (row["tokens_per_s"] for row in medians["closed"].values())
    print(f"two replicas / one, closed loop: measured {two / one:.2f}, predicted {predicted:.2f}")
    if write:
        document = {"predicted_ratio": predicted, "measured_ratio": two / one, "medians": medians}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
