"""What the processes of an endpoint hold, look by look."""

import re
import time
from collections import defaultdict
from dataclasses import dataclass, field

import httpx
import psutil

from bench.faults.endpoint import Endpoint, title_of

MIB = 1 << 20
TASKS = re.compile(r"^ray_smallfirst_gateway_tasks\{.*\} (\S+)$", re.MULTILINE)
# What a process is called here, by the beginning of its title.
ROLES = {
    "ray::ServeReplica:smallfirst:": "",
    "ray::ServeController": "Serve controller",
    "ray::ProxyActor": "Serve proxy",
    "ray::": "other actors",
}


@dataclass
class Series:
    """One quantity of one process over time."""

    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, time_s: float, value: float) -> None:
        """Note one value."""
        self.times_s.append(time_s)
        self.values.append(value)


class Watch:
    """Private memory, descriptors and threads of every process, tasks of the gateways."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._began_s = time.monotonic()
        self.series: dict[tuple[str, str], Series] = defaultdict(Series)

    def look(self) -> None:
        """Note what is held now."""
        now_s = time.monotonic() - self._began_s
        for process in self._endpoint.descendants():
            try:
                with process.oneshot():
                    name = f"{role(process)} {process.pid}"
                    memory = process.memory_full_info().uss / MIB
                    held = (memory, process.num_fds(), process.num_threads())
            except psutil.Error:
                continue  # it ended
            for what, value in zip(("memory_mib", "descriptors", "threads"), held, strict=True):
                self.series[name, what].add(now_s, value)
        if (tasks := self._gateway_tasks()) is not None:
            self.series["gateways together", "tasks"].add(now_s, tasks)

    def _gateway_tasks(self) -> float | None:
        for process in self._endpoint.descendants():
            for port in _metrics_ports(process):
                try:
                    text = httpx.get(
                        f"http://127.0.0.1:{port}/metrics", timeout=5, trust_env=False
                    ).text
                except httpx.HTTPError:
                    continue
                if found := TASKS.findall(text):
                    return sum(map(float, found))
        return None


def role(process: psutil.Process) -> str:
    """What a process does."""
    title = title_of(process)
    for beginning, name in ROLES.items():
        if title.startswith(beginning):
            rest = title.removeprefix(beginning).split(".")[0].split(":")[0]
            return name or rest.split("#")[0].strip()
    return process.name()


def _metrics_ports(process: psutil.Process) -> list[int]:
    if "Agent" not in title_of(process):
        return []
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return []
    return [one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN]
