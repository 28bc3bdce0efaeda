"""One replica on both cores beside two replicas on one core each, with the real INT4 model.

    python -m bench.packing.replicas --model FOLDER [--rounds 8] [--write]

All three engines stay loaded and have served a whole phase before the first that counts. The two
set-ups of a loop follow each other at once, in turned order each round, so that noise of the
machine meets both. A phase during which others took more than a tenth of a core is repeated. Closed
loop: 8 clients. Open loop: Poisson arrivals, the same times for both.
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
import timeit
from pathlib import Path
from typing import Any

import psutil

from autoscale.packing.gpus import Gpu
from autoscale.packing.kv import Demand
from autoscale.packing.plan import Overheads
from autoscale.packing.throughput import gpu_step_s
from deployments.commands.plan_model import Calibration, footprint_of
from models.checkpoint import read_checkpoint

RESULTS = Path(__file__).parent / "results" / "replicas.json"
SETUPS = {"1 replica, 2 cores": ["0-1"], "2 replicas, 1 core each": ["0", "1"]}
CLIENTS = 8
REQUESTS = 48
OTHERS_CORES = 0.1  # what other processes may take of the machine during a phase
TRIES = 4
MAX_TOKENS = 32
OPEN_RPS = 2.0
# Loop -> set-up -> figures of each round.
Loops = dict[str, dict[str, list[dict[str, float]]]]


class Worker:
    """A replica's process and its two pipes."""

    def __init__(self, model: Path, cores: str) -> None:
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": cores,
            # As many threads as cores: two that spin on one core are ten times as slow.
            "OMP_NUM_THREADS": "2" if "-" in cores else "1",
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

    def wait_until_ready(self) -> None:
        """Until the model is loaded and warm."""
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

    def cpu_s(self) -> float:
        """CPU seconds that the replica has used."""
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)

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


def quiet_phase(
    workers: list[Worker], arrivals_s: list[float], clients: int | None
) -> dict[str, float]:
    """The first phase that others left alone, else the least disturbed of `TRIES`."""
    tried = []
    for _ in range(TRIES):
        begun_s, busy_s = time.monotonic(), others_cpu_s(workers)
        figures = run_phase(workers, arrivals_s, clients)
        others = (others_cpu_s(workers) - busy_s) / (time.monotonic() - begun_s)
        tried.append(figures | {"others_cores": max(0.0, others)})
        if others <= OTHERS_CORES:
            break
    return min(tried, key=lambda figures: figures["others_cores"])


def others_cpu_s(workers: list[Worker]) -> float:
    """CPU seconds of the machine that neither these replicas nor this process used."""
    machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
    busy_s = machine.user + machine.nice + machine.system + machine.irq + machine.softirq
    return float(busy_s - own.user - own.system - sum(worker.cpu_s() for worker in workers))


def machine(cores: int) -> Gpu:
    """That many cores as the roofline sees them: bytes read and operations done in a second.

    Best of several runs: what the silicon does when nobody else uses it.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    block = torch.ones(64 << 20, dtype=torch.float32)
    read_s = min(timeit.repeat(block.sum, number=1, repeat=12))
    weight = torch.ones(1536, 1536, dtype=torch.bfloat16)
    batch = torch.ones(256, 1536, dtype=torch.bfloat16)
    multiply_s = min(timeit.repeat(lambda: batch @ weight, number=1, repeat=30))
    torch.set_num_threads(before)
    bandwidth = block.nbytes / read_s / 1e9
    tflops = 2 * 256 * 1536 * 1536 / multiply_s / 1e12
    return Gpu(f"{cores} cores", 0, round(bandwidth, 2), round(tflops, 3), "measured here")


def predicted(model: Path, whole: Gpu, half: Gpu) -> dict[str, float]:
    """Closed-loop tokens/s of each set-up as the plan's roofline has them, an upper bound."""
    demand = Demand(512, CLIENTS, block_size=128)
    footprint = footprint_of(read_checkpoint(model), demand, Calibration())
    host_s = Overheads().host_step_s
    rates = []
    for replicas, cores in ((1, whole), (2, half)):
        step_s = gpu_step_s(footprint, cores, CLIENTS // replicas, MAX_TOKENS) + host_s
        rates.append(CLIENTS / step_s)
    return dict(zip(SETUPS, rates, strict=True))


def main() -> None:
    """Load three replicas, alternate, print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    setups = {
        name: [Worker(arguments.model, cores) for cores in bindings]
        for name, bindings in SETUPS.items()
    }
    try:
        for workers in setups.values():
            for worker in workers:
                worker.wait_until_ready()
            run_phase(workers, [0.0] * REQUESTS, CLIENTS)  # caches and clocks, not counted
        measure(setups, arguments)
    finally:
        for worker in itertools.chain(*setups.values()):
            worker.stop()


def measure(setups: dict[str, list[Worker]], arguments: argparse.Namespace) -> None:
    """Both loops on both set-ups in each round; reports after each, so that it may be stopped."""
    generator = random.Random(4)
    loops: Loops = {loop: {name: [] for name in setups} for loop in ("closed", "open")}
    for number in range(arguments.rounds):
        gaps = [generator.expovariate(OPEN_RPS) for _ in range(REQUESTS)]
        arrivals = list(itertools.accumulate(gaps))
        order = list(setups.items())[:: -1 if number % 2 else 1]
        for name, workers in order:
            loops["closed"][name].append(quiet_phase(workers, [0.0] * REQUESTS, CLIENTS))
        for name, workers in order:
            loops["open"][name].append(quiet_phase(workers, arrivals, None))
        report(loops, arguments)
        sys.stdout.flush()


def report(loops: Loops, arguments: argparse.Namespace) -> None:
    """Medians over the rounds so far beside the prediction, as a table and a file."""
    cores = [machine(2), machine(1)]
    expected = predicted(arguments.model, *cores)
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
    # Round by round, because the machine is not the same machine a minute later.
    one, two = loops["closed"].values()
    ratios = [b["tokens_per_s"] / a["tokens_per_s"] for a, b in zip(one, two, strict=True)]
    first, second = expected.values()
    print(f"at most, as planned: {first:.0f} and {second:.0f} tokens/s on {cores}")
    print(f"two / one, closed loop: {statistics.median(ratios):.2f}, planned {second / first:.2f}")
    if arguments.write:
        document = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "hardware": "2 cores of an AMD EPYC, 24 GiB, no GPU",
            "rounds": len(ratios),
            "cores_measured": [gpu._asdict() for gpu in cores],
            "planned_tokens_per_s": expected,
            "planned_ratio": second / first,
            "measured_ratios": ratios,
            "medians": medians,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
