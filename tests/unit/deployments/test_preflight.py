"""What a machine lacks is found before anything is downloaded, and comes with its mend."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.commands import preflight
from deployments.commands.preflight import (
    GIB,
    SYSTEM_LIBRARIES,
    Needs,
    complaints,
    free_memory_bytes,
    serving_ports,
    short_of_disk,
    short_of_memory,
    taken_port,
)

ROOT = Path(__file__).parents[3]
MEMINFO = "MemTotal: 8 kB\nMemAvailable:    4194304 kB\n"


def test_a_machine_that_lacks_nothing_hears_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    needs = Needs(["libc.so.6"], serving_ports("127.0.0.1", port, {}), 1, {tmp_path: 1})
    assert complaints(needs) == []


def test_a_missing_library_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEM_LIBRARIES, "libabsent.so.1", "libabsent1")
    (said,) = complaints(Needs(libraries=["libabsent.so.1", "libc.so.6"]))
    assert said == "libabsent.so.1 is missing on this system: apt install libabsent1"


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_refused_with_the_mend(listening: str) -> None:
    with socket.create_server((listening, 0)) as taken:
        port = taken.getsockname()[1]
        said = taken_port("127.0.0.1", port, "--port") or ""
        assert said.startswith(f"port {port} on 127.0.0.1: ") and said.endswith("with --port")
    assert taken_port("127.0.0.1", port, "--port") is None


def test_haproxys_own_ports_are_looked_at_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        stats = {"RAY_SERVE_HAPROXY_STATS_PORT": taken.getsockname()[1]}
        said = complaints(Needs(ports=serving_ports("127.0.0.1", 0, stats)))
    assert len(said) == 1 and said[0].endswith("choose another with RAY_SERVE_HAPROXY_STATS_PORT")


@pytest.mark.parametrize("host", ["192.0.2.1", "name.invalid"])
def test_a_host_of_another_machine_is_not_the_ports_fault(host: str) -> None:
    assert "--host" in (taken_port(host, 0, "--port") or "")


def test_rays_defaults_are_the_ones_we_look_at() -> None:
    from ray.serve._private import constants

    assert preflight.HAPROXY_PORTS == {
        "RAY_SERVE_HAPROXY_STATS_PORT": constants.RAY_SERVE_HAPROXY_STATS_PORT,
        "RAY_SERVE_HAPROXY_METRICS_PORT": constants.RAY_SERVE_HAPROXY_METRICS_PORT,
    }


@pytest.mark.parametrize(
    ("limit", "free_gib"),
    [("max", 4), ("", 4), (str(3 * GIB), 2.5), (str(64 * GIB), 4)],
    ids=["no limit", "no group", "a small container", "a container above the machine"],
)
def test_a_container_has_what_it_may_have(limit: str, free_gib: float) -> None:
    files = {
        "/proc/meminfo": MEMINFO,
        "/sys/fs/cgroup/memory.max": limit,
        "/sys/fs/cgroup/memory.current": str(1 * GIB),
        "/sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {GIB // 2}\n",
    }

    def read(path: str) -> str:
        if not files[path]:
            raise FileNotFoundError
        return files[path]

    assert free_memory_bytes(read) == free_gib * GIB


def test_too_little_of_something_says_how_much(tmp_path: Path) -> None:
    assert short_of_memory(GIB, GIB) is None
    assert "1.0 GiB free, 2.0 needed" in (short_of_memory(GIB, 2 * GIB) or "")
    assert short_of_disk(tmp_path / "not" / "yet", 1) is None
    assert "1048576.0 needed" in (short_of_disk(tmp_path / "not" / "yet", GIB * 2**20) or "")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """As `make` runs it: no package of the project's environment can be imported."""
    command = [sys.executable, "-S", "-m", "deployments.commands.preflight", "cpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_it_runs_before_there_is_any_package(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "serve.yaml"
        config.write_text(f"http_options:\n  host: 127.0.0.1\n  # ours\n  port: {port}\nother: 1\n")
        done = run("--config", str(config), "--no-dashboard")
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: port {port} on 127.0.0.1: "), done.stderr
        # The command line beats the file, and what is only installed listens nowhere.
        assert "port" not in run("--config", str(config), "--install").stderr
    assert run("--config", str(config)).stderr.count("port") == 0
