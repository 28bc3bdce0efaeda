"""GPUs held beside the fewest possible, over a scale up and down, on a live Ray cluster.

Several Ray nodes on this machine with logical GPUs: Serve places replicas of 1/4 GPU while their
number goes up and down, for each shape of node and each placement strategy:

    python -m bench.packing.placement
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from deployments.replicas.start_lock import lock_path, start_lock
from deployments.settings.environment import visible_gpus

# Where the running bench tells the controller how many replicas it wants.
WANTED = "SMALLFIRST_BENCH_WANTED"
REPLICAS = (1, 2, 3, 4, 5, 6, 8, 6, 5, 4, 2, 1)
SHARE = 0.25
# (GPUs of each Ray node, number of nodes, placement by Serve)
CASES = [(2, 2, "spread"), (2, 2, "pack"), (1, 4, "spread"), (1, 4, "pack")]
RESULTS = Path(__file__).parent / "results" / "placement.json"


class Held(NamedTuple):
    """What one step of the run held."""

    replicas: int
    gpus: int
    nodes: int
    fewest: int


def ratio(steps: list[Held]) -> float:
    """GPUs held over the run, for each GPU that ideal packing would have held."""
    return sum(step.gpus for step in steps) / sum(step.fewest for step in steps)


def wanted_replicas(_: Any) -> tuple[int, dict[str, Any]]:
    """An autoscaling policy that follows the bench's script: Ray calls it in the controller.

    Scaling by redeployment would restart every replica, which is another question.
    """
    return int(Path(os.environ[WANTED]).read_text()), {}


def run_case(gpus_per_node: int, nodes: int) -> list[Held]:
    """Scale one deployment up and down in this process's own Ray cluster."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0})
    for _ in range(nodes):
        cluster.add_node(num_cpus=8, num_gpus=gpus_per_node)
    ray.init(address=cluster.address, log_to_driver=False)

    class Replica:
        async def where(self) -> tuple[str, str]:
            """The node and the GPU that Ray assigned, which the start lock must hold."""
            context = ray.get_runtime_context()
            (gpu,) = context.get_accelerator_ids()["GPU"]
            async with start_lock(visible_gpus()):
                try:
                    FileLock(lock_path(gpu)).acquire(timeout=0)
                except Timeout:
                    return context.get_node_id(), gpu
            raise RuntimeError(f"the start lock of {visible_gpus()} does not hold GPU {gpu}")

    deployment = serve.deployment(
        Replica,
        ray_actor_options={"num_cpus": 0.1, "num_gpus": SHARE},
        graceful_shutdown_timeout_s=1,
        autoscaling_config=AutoscalingConfig(
            min_replicas=1,
            max_replicas=max(REPLICAS),
            upscale_delay_s=0,
            downscale_delay_s=0,
            policy=AutoscalingPolicy(policy_function="bench.packing.placement:wanted_replicas"),
        ),
    )
    script = Path(os.environ[WANTED])
    script.write_text("1")
    steps = []
    try:
        serve.start(http_options={"location": "NoServer"})
        handle = serve.run(deployment.bind(), route_prefix=None)
        for wanted in REPLICAS:
            script.write_text(str(wanted))
            steps.append(_held(handle, wanted))
    finally:
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()
    return steps


def _held(handle: Any, wanted: int) -> Held:
    """Asks until exactly the wanted replicas answer: stopped ones leave a moment later."""
    deadline_s = time.monotonic() + 60
    places: list[tuple[str, str]] = []
    while time.monotonic() < deadline_s:
        places = [tuple(place) for place in handle.broadcast("where").results(timeout_s=30)]
        if len(places) == wanted:
            break
        time.sleep(0.5)
    if len(places) != wanted:
        raise RuntimeError(f"{len(places)} replicas answer, {wanted} were asked for")
    fewest = -(-wanted // int(1 / SHARE))
    return Held(wanted, len(set(places)), len({node for node, _ in places}), fewest)


def main() -> None:
    """Every case, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=int, help="run one case and print its JSON")
    parser.add_argument("--write", action="store_true", help="keep the results beside this file")
    arguments = parser.parse_args()
    if arguments.case is not None:
        gpus_per_node, nodes, _ = CASES[arguments.case]
        print("RESULT", json.dumps(run_case(gpus_per_node, nodes)))
        return
    results = []
    for index in range(len(CASES)):
        name, steps = measure(index)
        held = " ".join(f"{step.replicas}:{step.gpus}" for step in steps)
        print(f"{name:28} held/ideal {ratio(steps):.2f}   replicas:GPUs {held}", flush=True)
        results.append({"case": name, "ratio": ratio(steps), "steps": [s._asdict() for s in steps]})
    if arguments.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def measure(index: int) -> tuple[str, list[Held]]:
    """One case, in a process of its own, because Ray reads the strategy when it starts."""
    gpus_per_node, nodes, strategy = CASES[index]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY"] = str(int(strategy == "pack"))
    environment[WANTED] = str(Path(tempfile.gettempdir()) / f"smallfirst-wanted-{os.getpid()}")
    command = [sys.executable, "-m", "bench.packing.placement", "--case", str(index)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line = next(x for x in output.stdout.splitlines() if x.startswith("RESULT "))
    steps = [Held(*step) for step in json.loads(line.removeprefix("RESULT "))]
    return f"{nodes} nodes x {gpus_per_node} GPU, {strategy}", steps


if __name__ == "__main__":
    main()
