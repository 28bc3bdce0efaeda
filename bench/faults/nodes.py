"""What a node costs that is drained, or that dies: a part of docs/faults.md.

    python -m bench.faults.nodes

Two Ray nodes on this machine: the head with two small replicas, which are all that fit, and a
second node with two more. It is drained as after a spot notice and goes when it is empty; another
takes its place and is killed. 30 requests a second, half of them streams, go on meanwhile.
"""

import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import typer

from bench.faults.drill import ARGS, Drill, drilled, merged
from bench.faults.endpoint import wait_until
from bench.faults.report import write_report
from bench.faults.second_node import SecondNode, second_node

RESULTS = Path(__file__).parent / "results" / "nodes.json"
PER_S = 30.0
# Of two cores two such replicas leave no room for a third.
CPUS, CPUS_A_REPLICA = 2, 0.7
TWO_MORE = {"small": {"scaling": {"min_replicas": 4, "max_replicas": 4}}}


def wait_for_second_half(drill: Drill, node: SecondNode) -> None:
    """Wait until the node has two small replicas that answer."""
    wait_until(lambda: len(node.replicas("SmallTier")) == 2, 120, "two replicas there")
    wait_until(lambda: drill.endpoint.running("small") == 4, 120, "four that answer")


def drained(node: SecondNode) -> Any:
    """Drain it, and let it go once nothing is left on it."""

    def drain(_: Drill) -> None:
        node.drain()
        wait_until(lambda: not node.replicas("SmallTier"), 180, "the node is empty")
        node.kill()

    return drain


def killed(node: SecondNode) -> Any:
    """Kill it, and wait until nobody counts on it any more."""

    def kill(drill: Drill) -> None:
        node.kill()
        wait_until(lambda: drill.endpoint.running("small") == 2, 180, "two replicas counted")

    return kill


def main() -> None:
    """Drain a node and kill one; write the figures and docs/faults.md."""
    args = merged(ARGS, {"small": {"num_cpus": CPUS_A_REPLICA}})
    with drilled(args, PER_S) as drill:
        for name, do in {"node drained": drained, "node killed": killed}.items():
            with second_node(drill, CPUS) as node:
                drill.apply(TWO_MORE)
                wait_for_second_half(drill, node)
                row = drill.measure(name, do(node))
            print(json.dumps(asdict(row)), flush=True)
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "per_s": PER_S,
        "rows": [asdict(row) for row in drill.rows],
    }
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    write_report()


if __name__ == "__main__":
    typer.run(main)
