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
from deployments.settings.vllm import VllmConfig

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


def test_it_asks_for_no_more_memory_than_serve_does() -> None:
    from deployments.settings.serve_file import load_serve_file

    shipped = preflight.plain_config(ROOT / "serve_config.yaml") or []
    engines = preflight.bundled_engines(shipped)
    tiers = load_serve_file(ROOT / "serve_config.yaml").app.tiers.values()
    caches = [
        one.engine.kv_cache_memory_bytes for one in tiers if isinstance(one.engine, VllmConfig)
    ]
    served_bytes = preflight.REST_BYTES + sum(preflight.ENGINE_BYTES + each for each in caches)
    assert preflight.least_memory_bytes(shipped, engines) == served_bytes


def what_is_asked(monkeypatch: pytest.MonkeyPatch) -> list[Needs]:
    """What `main` asks for, run by run, on a machine that lacks nothing."""
    asked: list[Needs] = []

    def lacks_nothing(needs: Needs) -> list[str]:
        asked.append(needs)
        return []

    monkeypatch.setattr(preflight, "complaints", lacks_nothing)
    return asked


UPSTREAM = 'large:\n  engine: {kind: upstream, base_url: "https://llm.example/v1"}\n'


@pytest.mark.parametrize(
    ("config", "needed_gib"),
    [
        ("small:\n  engine: {kind: vllm, path: 'builtin:small'}\n" + UPSTREAM, 2.5),
        ("small:\n  engine:\n    path: builtin:small  # ours\n" + UPSTREAM, 2.5),
        (
            "small:\n  engine: {path: builtin:small, kv_cache_memory_bytes: 9}\n" + UPSTREAM,
            2.0,
        ),
        ("small:\n  engine: {kind: simulated}  # was path: builtin:small\n" + UPSTREAM, 0),
        ("# path: builtin:small\n" + UPSTREAM, 0),
        ("small:\n  gpu_share: 0.2\n  engine: {path: builtin:small}\n", 0),
        ("small:\n  engine: &e {path: builtin:small}\n", 0),
        ("note: |\n  path: builtin:small\n" + UPSTREAM, 0),
    ],
)
def test_memory_is_asked_for_what_surely_runs(
    config: str, needed_gib: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = what_is_asked(monkeypatch)
    (tmp_path / "serve.yaml").write_text("name: x\n" + config)
    assert preflight.main(["cpu", "--config", str(tmp_path / "serve.yaml")]) == 0
    assert asked[0].memory_bytes == needed_gib * GIB
    # Only what is installed, whatever is served of it.
    assert preflight.main(["cpu", "--install"]) == 0
    assert asked[1].memory_bytes == 0


@pytest.mark.parametrize(
    ("config", "port"),
    [
        ("", 8000),
        ("http_options:\n  request_timeout_s: 630\n", 8000),
        ("http_options:\n  port: 18765\n", 18765),
        ('http_options:\n  port: "18765"\n', 18765),
        ("http_options:   # ours\n    port: 18765  # too\n", 18765),
        ("# caf\xe9\nhttp_options:\n  port: 18765\nother: 1\n", 18765),
        ("http_options: {host: 127.0.0.1, port: 18765}\n", None),
        ('"http_options":\n  port: 18765\n', None),
        ("? http_options\n: port: 18765\n", None),
        ("{http_options: {port: 18765}}\n", None),
        ("http_options: *there\n", None),
        ("http_options:\n  <<: *there\n", None),
        ("http_options:\n  port: 18_765\n", None),
        ("http_options:\n  port: 0x494D\n", None),
        ("http_options:\n  host: &here 127.0.0.1\n  port:\n    18765\n", None),
        ("http_options:\n  port: 1\nhttp_options:\n  port: 18765\n", None),
    ],
)
def test_a_port_is_looked_at_where_it_is_read_for_certain(
    config: str, port: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = what_is_asked(monkeypatch)
    file = tmp_path / "serve.yaml"
    file.write_bytes(config.encode("latin-1"))
    assert preflight.main(["cpu", "--config", str(file)]) == 0
    assert list(asked[0].ports) == ([] if port is None else [("127.0.0.1", port, "--port")])
    # An address that the command line names whole needs no file.
    assert preflight.main(["cpu", "--config", str(file), "--host", "::1", "--port", "7"]) == 0
    assert list(asked[1].ports) == [("::1", 7, "--port")]


@pytest.mark.parametrize("more", [[], ["--install"]])
def test_nothing_is_looked_at_where_nobody_wants_it(
    more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "complaints", lambda _: ["no memory"])
    assert preflight.main(["cpu", *more]) == 2
    assert preflight.main(["cpu", *more, "--no-preflight"]) == 0


def test_a_config_that_is_not_there_is_left_to_serve(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        assert preflight.plain_config(path) is None
