"""Whatever ends the driver, nothing of its pods is left: no process, mount or network namespace."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from bench.pods.cluster import cluster_of
from bench.pods.network import MARK, NAMESPACES, fabric, what_is_missing
from tests.unit.k8s.conftest import rendered

MISSING = what_is_missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def namespaces(pid: int) -> list[Path]:
    """The network namespaces of one driver."""
    return list(NAMESPACES.glob(f"{MARK}{pid}-*"))


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), cluster_of(rendered("dev-cpu"), tmp_path) as cluster:
        pod = cluster.start_pod(cluster.overlay.head)
        assert pod.process is not None
        assert namespaces(os.getpid())
        # Its processes and its tmpfs mounts are those of namespaces that end with the first.
        while not (inside := psutil.Process(pod.process.pid).children(recursive=True)):
            assert pod.running, pod.last_words()
        raise KeyboardInterrupt
    assert not pod.running
    assert not [process for process in inside if process.is_running()]
    assert namespaces(os.getpid()) == []


def test_the_next_driver_removes_what_a_killed_one_left() -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    subprocess.run(["ip", "netns", "add", f"{MARK}{killed.pid}-head"], check=True)
    mine = subprocess.Popen(["sleep", "60"])
    try:
        subprocess.run(["ip", "netns", "add", f"{MARK}{mine.pid}-head"], check=True)
        with fabric():
            assert namespaces(killed.pid) == []
            assert namespaces(mine.pid), "another driver's that runs"
    finally:
        mine.kill()
        mine.wait()
    with fabric():
        assert namespaces(mine.pid) == []
