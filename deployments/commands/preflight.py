"""What a machine must have before anything is downloaded or converted; each lack with its mend.

Standard library only: `make` runs it with the system's Python, before there is any package.

    python3.11 -m deployments.commands.preflight cpu|gpu [the options of `smallfirst serve`]
"""

import argparse
import ctypes
import errno
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

GIB = 1024**3
# Libraries that the lock's wheels take from the system, by the Debian package that has them;
# tests/unit/test_system_libraries.py holds the list to the wheels.
SYSTEM_LIBRARIES = {"libnuma.so.1": "libnuma1"}
# One engine beside its weights and KV cache, and everything else: half of what
# bench/overhead/results/footprint.md counted, so that nothing is refused that would have run.
ENGINE_BYTES = 1 * GIB
REST_BYTES = 1 * GIB
# `settings.vllm.VllmConfig`'s default, which cannot be imported before there is pydantic.
DEFAULT_KV_BYTES = GIB // 2
# The pinned packages unpacked, and pip's copy of the largest; logs.
PACKAGES_BYTES = {"cpu": 4 * GIB, "gpu": 20 * GIB}
LOGS_BYTES = GIB // 2
# HAProxy's own ports beside the endpoint's, on all addresses: Ray's variables and defaults.
HAPROXY_PORTS = {"RAY_SERVE_HAPROXY_STATS_PORT": 8404, "RAY_SERVE_HAPROXY_METRICS_PORT": 9101}


class Needs(NamedTuple):
    """What is to be looked for."""

    libraries: Iterable[str] = ()
    ports: Iterable[tuple[str, int, str]] = ()  # host, port, how to choose another
    memory_bytes: int = 0
    disk_bytes: dict[Path, int] = {}  # noqa: RUF012  # never written to


def complaints(needs: Needs) -> list[str]:
    """One line for each thing that this machine lacks; empty where it lacks none."""
    lacks = [missing_library(name) for name in needs.libraries]
    lacks += [taken_port(*port) for port in needs.ports]
    lacks.append(short_of_memory(free_memory_bytes(), needs.memory_bytes))
    lacks += [short_of_disk(folder, least) for folder, least in needs.disk_bytes.items()]
    return [lack for lack in lacks if lack]


def missing_library(name: str) -> str | None:
    """What to say where a system library cannot be loaded."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return f"{name} is missing on this system: apt install {SYSTEM_LIBRARIES[name]}"
    return None


def taken_port(host: str, port: int, mend: str) -> str | None:
    """What to say where nobody may listen on the port, or somebody does."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OverflowError:
        return f"port {port}: there are 65,535; choose another with {mend}"
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return f"port {port} on {host}: {error.strerror}; choose another with {mend}"
        return f"host {host}: {error.strerror}; choose one of this machine's with --host"
    return None


def short_of_memory(free_bytes: int, least_bytes: int) -> str | None:
    """What to say where less memory is free than is needed."""
    if free_bytes >= least_bytes:
        return None
    return (
        f"memory: {free_bytes / GIB:.1f} GiB free, {least_bytes / GIB:.1f} needed: stop other "
        "programs, make kv_cache_memory_bytes smaller, or give a tier an upstream"
    )


def short_of_disk(folder: Path, least_bytes: int) -> str | None:
    """What to say where a folder's disk has less room than is needed."""
    there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    if free >= least_bytes:
        return None
    return (
        f"disk: {free / GIB:.1f} GiB free for {folder}, {least_bytes / GIB:.1f} needed: free some"
    )


def free_memory_bytes(read: Callable[[str], str] | None = None) -> int:
    """Memory that programs here can still get: the machine's, or what a container may have."""
    read = read or (lambda path: Path(path).read_text(encoding="ascii"))
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    free = int(found[1]) * 1024 if found else sys.maxsize
    try:
        limit = int(read("/sys/fs/cgroup/memory.max"))
        used = int(read("/sys/fs/cgroup/memory.current"))
        kept = re.search(r"^inactive_file (\d+)$", read("/sys/fs/cgroup/memory.stat"), re.MULTILINE)
    except (OSError, ValueError):
        return free
    return min(free, limit - used + (int(kept[1]) if kept else 0))


def serving_ports(
    host: str, port: int, haproxy_ports: dict[str, int]
) -> list[tuple[str, int, str]]:
    """Every port that an endpoint takes, with how to choose another."""
    beside = [("0.0.0.0", number, variable) for variable, number in haproxy_ports.items()]
    return [(host, port, "--port"), *beside]


def main(arguments: list[str]) -> int:
    """Print what is missing; 2 where something is."""
    given = _options(arguments)
    if not given.preflight:
        return 0
    config = None if given.install else plain_config(Path(given.config))
    engines = bundled_engines(config) if config else 0
    cpu = given.target == "cpu"
    lacks = complaints(
        Needs(
            libraries=SYSTEM_LIBRARIES if cpu and (given.install or engines) else (),
            ports=() if given.install else _ports(given, config),
            memory_bytes=least_memory_bytes(config, engines) if cpu and config and engines else 0,
            disk_bytes={Path.cwd(): PACKAGES_BYTES[given.target]} if given.install else {},
        )
    )
    for lack in lacks:
        print(f"error: {lack}", file=sys.stderr)
    return 2 if lacks else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    """Those of `smallfirst serve` that matter here; it refuses what it does not know itself."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("target", choices=PACKAGES_BYTES)
    options.add_argument("--config", default="serve_config.yaml")
    options.add_argument("--host")
    options.add_argument("--port", type=int)
    options.add_argument("--haproxy", action=argparse.BooleanOptionalAction, default=False)
    options.add_argument("--preflight", action=argparse.BooleanOptionalAction, default=True)
    options.add_argument("--install", action="store_true")
    for variable, default in HAPROXY_PORTS.items():
        options.add_argument(f"--{variable}", type=int, default=default)
    return options.parse_known_args(arguments)[0]


def plain_config(path: Path) -> list[str] | None:
    """A config's lines without comments; None where only a YAML parser knows what they mean."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # `smallfirst serve` says what is wrong with it
    bare = [re.sub(r"(^|\s)#.*", "", line).rstrip() for line in text.splitlines()]
    lines = [line for line in bare if line]
    tops = (line for line in lines if not line.startswith(" "))
    odd = re.search(r":\s+[|>&*!]|<<\s*:|\t|\\", "\n".join(lines))
    plain = not odd and all(re.match(r"([a-z_]+:|-)( |$)", line) for line in tops)
    return lines if plain else None


def bundled_engines(config: list[str]) -> int:
    """How many tiers name a bundled model; one that leaves its engine out is not counted."""
    return sum(len(re.findall(r"\bpath:\s+[\"']?builtin:", line)) for line in config)


def least_memory_bytes(config: list[str], engines: int) -> int:
    """What so many engines take at least, as `smallfirst serve` counts it."""
    text = "\n".join(config)
    if "gpu_share" in text:
        return 0  # of one tier or of all: only a parser knows
    cache_bytes = 0 if "kv_cache_memory_bytes" in text else DEFAULT_KV_BYTES
    return engines * (ENGINE_BYTES + cache_bytes) + REST_BYTES


def http_options(config: list[str]) -> dict[str, str] | None:
    """The file's `http_options`; None where they are not one plain key a line."""
    starts = [at for at, line in enumerate(config) if line.startswith("http_options:")]
    if not starts:
        return {}
    block = list(takewhile(lambda line: line.startswith(" "), config[starts[0] + 1 :]))
    pairs = [re.fullmatch(r" +([a-z_]+): +(['\"]?)([\w./:-]+)\2", line) for line in block]
    said = {pair[1]: pair[3] for pair in pairs if pair}
    whole = len(starts) == 1 and config[starts[0]] == "http_options:" and all(pairs)
    return said if whole and re.fullmatch(r"[1-9]\d*", said.get("port", "1")) else None


def _ports(given: argparse.Namespace, config: list[str] | None) -> list[tuple[str, int, str]]:
    """The ports that are known for certain without a YAML parser."""
    said = None if config is None else http_options(config)
    file = {} if said is None else {"host": "127.0.0.1", "port": "8000", **said}
    host, port = given.host or file.get("host"), given.port or file.get("port")
    beside = {variable: getattr(given, variable) for variable in HAPROXY_PORTS}
    ports = serving_ports(host or "", int(port or 0), beside if given.haproxy else {})
    return ports if host and port else ports[1:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
