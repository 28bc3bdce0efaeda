"""One pod as a process: command, environment, mounts, user and signals as its manifest says."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil

from bench.pods.network import inside
from deployments.kubernetes.network import Peer
from deployments.kubernetes.overlay import Group, Manifest, amount

ROOT = Path(__file__).parents[2]
# What the image has beside the system: the interpreter, the packages, the project in its folder.
PACKAGES = Path(sys.prefix).resolve()
IMAGE = {Path(sys.base_prefix): sys.base_prefix, PACKAGES: str(PACKAGES), ROOT: "/app"}
SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc")
# Processes that Ray asks after may take long on a busy machine: pods are run for what they do, not
# for how fast. What has no variable, such as 15 s for a node's agents, is kept or the pod ends.
PATIENCE_ENV = {
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_agent_register_timeout_ms": "900000",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_worker_register_timeout_seconds": "900",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_health_check_failure_threshold": "20",
}
USERS = "root:x:0:0::/root:/bin/sh\nsmallfirst:x:1000:1000::/home/smallfirst:/bin/bash\n"
METRICS_PORT = 8080
GCS_PORT = 6379
AGENT_PORT = 52365


@dataclass
class Pod:
    """A pod of a group, in its network namespace."""

    name: str
    group: Group
    namespace: str
    address: str
    folder: Path  # its log, and what is mounted from outside
    env: dict[str, str] = field(default_factory=dict)  # what operator and Secrets add
    volumes: dict[str, Path] = field(default_factory=dict)  # claims and Secrets by volume
    hosts: dict[str, str] = field(default_factory=dict)  # what the cluster's DNS knows
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None

    @property
    def peer(self) -> Peer:
        """The pod as a policy sees it."""
        return Peer(self.group.labels, {}, own_namespace=True)

    def start(self) -> None:
        """Start it; it is up when `wait_until_ready` says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "passwd").write_text(USERS)
        self.write_hosts()
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*self._sandbox(), "/bin/bash", "-c", "--", self.ray_start()],
            stdout=self.log,
            stderr=self.log,
            env=self._environment(),
            cwd="/",
        )

    def write_hosts(self) -> None:
        """Say what the cluster's DNS says; in the same file, so that a running pod hears it."""
        names = {"localhost": "127.0.0.1", self.name: self.address, **self.hosts}
        text = "".join(f"{address} {name}\n" for name, address in names.items())
        (self.folder / "hosts").write_text(text)

    def ray_start(self) -> str:
        """The command line that the operator makes of rayStartParams and limits."""
        limits = self.group.limits
        params = {
            "block": "",
            "dashboard-agent-listen-port": str(AGENT_PORT),
            "metrics-export-port": str(METRICS_PORT),
            "memory": str(int(amount(limits["memory"]))),
            "num-cpus": str(math.ceil(amount(limits["cpu"]))),
            **self.group.ray_params,
        }
        if self.group.head:
            params |= {"head": "", "no-monitor": ""}
            if "REDIS_PASSWORD" in self.env:
                params |= {"redis-password": "$REDIS_PASSWORD"}  # the shell's to fill in
        else:
            params |= {"address": self.env["RAY_ADDRESS"]}
        words = [f"--{key}={value}" if value else f"--{key}" for key, value in params.items()]
        return f"ulimit -n 65536; ray start {' '.join(sorted(words))}"

    def _environment(self) -> dict[str, str]:
        image = {
            "PATH": f"{PACKAGES}/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": "/app",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        own = {name: value for name, value in self.group.env.items() if value is not None}
        return {**image, **PATIENCE_ENV, **self.env, **own}

    def _sandbox(self) -> list[str]:
        """A root of its own that cannot be written, no privilege, and the manifest's user."""
        words = ["ip", "netns", "exec", self.namespace, "bwrap", "--as-pid-1", "--die-with-parent"]
        words += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", self.name]
        for name in SYSTEM:
            words += ["--ro-bind-try", f"/{name}", f"/{name}"]
        # vLLM reads the cores and their memory there.
        words += ["--ro-bind", "/sys", "/sys", "--proc", "/proc", "--dev", "/dev"]
        words += ["--dir", "/tmp", "--dir", "/home/smallfirst"]
        # The operator's own volume.
        words += ["--perms", "1777", "--tmpfs", "/dev/shm"]
        for mount in self.group.container.get("volumeMounts", ()):
            words += self._mounted(mount)
        for path, there in IMAGE.items():
            # bwrap would make them for root alone.
            for parent in reversed(Path(there).parents[:-1]):
                words += ["--perms", "0755", "--dir", str(parent)]
            words += ["--ro-bind", str(path), there]
        for name in ("passwd", "hosts"):
            words += ["--ro-bind", str(self.folder / name), f"/etc/{name}"]
        if self.group.container["securityContext"].get("readOnlyRootFilesystem"):
            words += ["--remount-ro", "/"]
        user = str(self.group.pod["securityContext"]["runAsUser"])
        words += ["--", "setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
        return [*words, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]

    def _mounted(self, mount: Manifest) -> list[str]:
        (volume,) = [one for one in self.group.pod["volumes"] if one["name"] == mount["name"]]
        path = mount["mountPath"]
        if "emptyDir" in volume:
            size = int(amount(volume["emptyDir"]["sizeLimit"]))
            return ["--perms", "0777", "--size", str(size), "--tmpfs", path]
        return ["--ro-bind", str(self.volumes[mount["name"]]), path]

    def probe(self, kind: str) -> str | None:
        """Ask as the kubelet does; None where the answer is well, else what is not."""
        asked = self.group.container[kind]["httpGet"]
        url = f"http://{self.address}:{asked['port']}{asked['path']}"
        timeout_s = self.group.container[kind].get("timeoutSeconds", 1)
        try:
            answer = inside(
                self.namespace, lambda: httpx.get(url, timeout=timeout_s, trust_env=False)
            )
        except httpx.TransportError as error:
            return f"{url}: {error or type(error).__name__}"
        return None if answer.status_code < 400 else f"{url}: {answer.status_code}"

    def wait_until_ready(self, kind: str, timeout_s: float) -> None:
        """Return when a probe is well. Raises: `TimeoutError` with its last complaint, at once
        where the pod has ended."""
        give_up_s = time.monotonic() + timeout_s
        while complaint := self.probe(kind):
            if not self.running:
                raise TimeoutError(f"{self.name} ended: {self.last_words()}")
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"{self.name}: {kind}: {complaint}: {self.last_words()}")
            time.sleep(1)

    @property
    def running(self) -> bool:
        """Whether its first process is there."""
        return self.process is not None and self.process.poll() is None

    def last_words(self) -> str:
        """The end of what it printed."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def stop(self) -> float:
        """End it as the kubelet does: `preStop`, SIGTERM, the grace period, SIGKILL.

        Returns: the seconds that it took.
        """
        assert self.process is not None
        began_s = time.monotonic()
        grace_s = float(self.group.pod.get("terminationGracePeriodSeconds", 30))
        first = psutil.Process(self.process.pid).children()[0]
        hook = self.group.container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
        if hook:
            enter = ["nsenter", "--target", str(first.pid), "--mount", "--pid", "--net"]
            subprocess.run([*enter, *hook["command"]], timeout=grace_s, check=False)
        os.kill(first.pid, signal.SIGTERM)
        left_s = max(0.1, grace_s - (time.monotonic() - began_s))
        try:
            self.process.wait(left_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began_s

    def kill(self) -> None:
        """End it at once, with everything in it."""
        if self.process is not None and self.running:
            # The first process of its namespace takes all others with it, and the sandbox ends
            # when it has seen them gone.
            with contextlib.suppress(psutil.Error):
                sandbox = psutil.Process(self.process.pid)
                for process in sandbox.children() or [sandbox]:
                    process.kill()
            self.process.wait(60)
        if self.log is not None:
            self.log.close()
