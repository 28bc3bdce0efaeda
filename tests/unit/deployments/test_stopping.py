"""Ctrl-C waits for open requests and for nothing else; a second one waits for nothing."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import psutil
import pytest

from deployments.commands import stopping
from deployments.settings.environment import CLUSTER_MARK


class Cluster:
    """Stands in for Ray and Serve, and remembers what was asked of them."""

    def __init__(self, open_requests: Sequence[int | None]) -> None:
        self.open = list(open_requests)
        self.asked: list[str] = []
        self.left_at_once = False

    def count(self) -> int | None:
        return self.open.pop(0) if len(self.open) > 1 else self.open[0]


@pytest.fixture
def process() -> Iterator[psutil.Process]:
    """A process of the cluster that heeds no SIGTERM, as an engine may."""
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True)\n"
    started = subprocess.Popen(
        [sys.executable, "-c", program + "time.sleep(600)"],
        env={CLUSTER_MARK: "mark"},
        stdout=subprocess.PIPE,
    )
    assert started.stdout is not None
    started.stdout.readline()
    yield psutil.Process(started.pid)
    started.kill()
    started.wait()
    started.stdout.close()


def stop(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    def leave(_: str) -> None:
        cluster.left_at_once = True

    monkeypatch.setattr(stopping, "open_requests", cluster.count)
    monkeypatch.setattr("ray.serve.delete", lambda *_, **__: cluster.asked.append("drain"))
    monkeypatch.setattr("ray.shutdown", lambda: cluster.asked.append("leave"))
    monkeypatch.setattr(stopping, "ignore_stop_signals", lambda: None)
    monkeypatch.setattr(stopping, "leave_at_once", leave)
    monkeypatch.setattr(stopping, "GENTLY_S", 0.1)
    monkeypatch.setattr(stopping, "KILLED_S", 0.1)
    monkeypatch.setattr(stopping, "COUNT_EVERY_S", 0.0)
    stopping.stop("mark")


@pytest.mark.parametrize("count", [0, None], ids=["none", "nobody can say"])
def test_where_nothing_is_open_nothing_drains(
    monkeypatch: pytest.MonkeyPatch, process: psutil.Process, count: int | None
) -> None:
    cluster = Cluster([count])
    stop(monkeypatch, cluster)
    assert (cluster.asked, cluster.left_at_once) == (["leave"], False)
    assert process.wait(10) is not None or not process.is_running()


def test_open_requests_are_waited_for_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([2, 2, None, 1, 0])
    stop(monkeypatch, cluster)
    assert sorted(cluster.asked) == ["drain", "leave"]
    assert cluster.open == [0]


def test_a_request_that_never_ends_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "DRAIN_S", 0.05)
    cluster = Cluster([1])
    stop(monkeypatch, cluster)
    assert sorted(cluster.asked) == ["drain", "leave"]


def test_a_second_ctrl_c_ends_what_is_left_at_once(
    monkeypatch: pytest.MonkeyPatch, process: psutil.Process
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    cluster = Cluster([1])
    stop(monkeypatch, cluster)
    assert "leave" not in cluster.asked and cluster.left_at_once
    assert process.wait(10) is not None or not process.is_running()


def test_where_ray_does_not_answer_the_count_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(stopping, "COUNT_WITHIN_S", 0.05)
    # Who still asks when the test is over asks nothing more.
    monkeypatch.setattr("ray.is_initialized", lambda: not over.wait(60))
    assert stopping.open_requests() is None
    over.set()


def test_where_ray_never_started_nothing_is_open() -> None:
    assert stopping.open_requests() == 0


def test_where_ray_hangs_it_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    cluster = Cluster([0])
    cluster.asked = Hanging(over)
    stop(monkeypatch, cluster)
    over.set()
    assert cluster.left_at_once


class Hanging(list[str]):
    """A list to which nothing can be added before an event."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__()
        self._over = over

    def append(self, _: str) -> None:
        self._over.wait(60)
