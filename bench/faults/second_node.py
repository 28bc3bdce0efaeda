"""A second Ray node on this machine that joins a running endpoint, to be drained or killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.faults.drill import Drill
from bench.faults.endpoint import title_of, wait_until
from deployments.commands.ray_environment import RAY_ENVIRONMENT
from deployments.commands.run_folder import live_runs, run_folder
from deployments.settings.environment import set_defaults

RAY = str(Path(sys.executable).with_name("ray"))
# What AWS and GCP give at most between the notice and the end of a spot machine, seconds.
NOTICE_S = 120


@dataclass(frozen=True)
class SecondNode:
    """A node that is not the head."""

    address: str  # of the cluster
    node_id: str
    process: subprocess.Popen[bytes]

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replica processes of a deployment on this node."""
        name = f"ray::ServeReplica:smallfirst:{deployment}"
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if title_of(child).startswith(name)]

    def drain(self) -> None:
        """Tell Ray that the machine goes, as a provider's notice does."""
        words = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a drill"]
        words += ["--deadline-remaining-seconds", str(NOTICE_S)]
        command = [RAY, "drain-node", "--address", self.address, "--node-id", self.node_id]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self) -> None:
        """End all its processes at once, as a power cut does."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            child.kill()
        self.process.kill()
        self.process.wait(30)


@contextmanager
def second_node(drill: Drill, cpus: int) -> Iterator[SecondNode]:
    """A node with so many CPUs in the endpoint's cluster; gone afterwards."""
    (run,) = live_runs(run_folder(drill.config.parent / "r"))
    # As `smallfirst serve` sets it.
    set_defaults({**RAY_ENVIRONMENT, "RAY_AUTH_MODE": "token"})
    before = _alive(run.address)
    command = [RAY, "start", "--address", run.address, "--num-cpus", str(cpus), "--block"]
    log = drill.config.with_name("second-node.txt")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--disable-usage-stats"],
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_until(lambda: _alive(run.address) - before, 90, "the second node")
        (node_id,) = _alive(run.address) - before
        yield SecondNode(run.address, node_id, process)
    finally:
        if process.poll() is None:
            SecondNode(run.address, "", process).kill()


def _alive(address: str) -> set[str]:
    """Ids of the cluster's nodes that are alive."""
    # Here, because Ray reads the environment when it is imported.
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without types

    nodes = GcsClient(address=address).get_all_node_info().values()
    return {node.node_id.hex() for node in nodes if node.state == 0}
