"""Starts what is measured, each as its users start it, and finds its processes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deployments.settings.vllm import VllmConfig

# Inherited by every process of one server, so that exactly those are counted.
MARK = "SMALLFIRST_BENCH"
# Longest accepted start: two engines on two busy cores.
START_TIMEOUT_S = 600.0
ROLES = {
    "rival": r"litellm|(?i:vllm.{1,2}router)",
    "proxy": r"ProxyActor|HAProxyManager|haproxy",
    "gateway": r"ServeReplica:\w+:Gateway",
    "small tier": r"ServeReplica:\w+:SmallTier",
    "large tier": r"ServeReplica:\w+:Escalation",
    "classifier": r"ServeReplica:\w+:Classifier",
    "engine": r"EngineCore|VLLM::",
    "Serve controller": r"ServeController",
    "Ray": r"raylet|gcs_server|ray::|dashboard|log_monitor|ray/_private",
}


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    mark: str
    began_at: float  # when its first process began, in psutil's clock
    ready_s: float  # seconds from there until it was ready
    log: Path

    def processes(self) -> list[psutil.Process]:
        """Every process it runs in."""
        return marked_processes(self.mark)

    def cpu_s(self) -> dict[str, float]:
        """User and system CPU seconds of the living processes so far, by role."""
        spent: dict[str, float] = defaultdict(float)
        for process in self.processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                spent[role(process)] += times.user + times.system
        return dict(spent)

    def run_delay_s(self) -> dict[str, float]:
        """Seconds that the living threads were ready to run and had no core so far, by role."""
        waited: dict[str, float] = defaultdict(float)
        for process in self.processes():
            with suppress(psutil.Error, OSError):
                for schedstat in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                    waited[role(process)] += int(schedstat.read_text().split()[1]) / 1e9
        return dict(waited)


def role(process: psutil.Process) -> str:
    """What a process is to the application; `other` where its command line does not say."""
    command = " ".join(process.cmdline())
    return next((name for name, mark in ROLES.items() if re.search(mark, command)), "other")


@contextmanager
def application(args: dict[str, Any], port: int, *, haproxy: bool = False) -> Iterator[Server]:
    """`smallfirst serve` with these application settings.

    Its accounts are new: the user's own may hold keys, and a ledger of any size.
    """
    document = yaml.safe_load(Path("serve_config.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        accounts = {"store": str(Path(folder) / "accounts.sqlite")} | args.get("accounts", {})
        document["applications"][0]["args"] = args | {"accounts": accounts}
        config = Path(folder) / "serve_config.yaml"
        config.write_text(yaml.safe_dump(document))
        command = [sys.executable, "-c", "from deployments.cli import main; main()", "serve"]
        command += ["--config", str(config), "--port", str(port)]
        command += ["--haproxy"] if haproxy else []
        with started(command, port, "/readyz") as server:
            yield server


@contextmanager
def bare_vllm(
    port: int, *, as_shipped: bool = False, name: str = "bare", engine: VllmConfig | None = None
) -> Iterator[Server]:
    """vLLM's own OpenAI server on the model, and with the options, of an engine of ours, by default
    the small tier's.

    `as_shipped`: with the executor that vLLM's CPU build chooses by itself.
    """
    command = [sys.executable, "-m", "bench.overhead.bare_server", str(port), "--name", name]
    command += ["--engine", (engine or VllmConfig()).model_dump_json()]
    command += ["--as-shipped"] if as_shipped else []
    with started(command, port, "/health") as server:
        yield server


@contextmanager
def simulated_alone(config: dict[str, Any], port: int) -> Iterator[Server]:
    """The simulated engine behind nothing but uvicorn."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "simulated.yaml"
        file.write_text(yaml.safe_dump({"engine": config}))
        command = [sys.executable, "-m", "deployments.simulated.server", "--port", str(port)]
        with started([*command, "--config", str(file)], port, "/health") as server:
            yield server


@contextmanager
def started(
    command: Sequence[str], port: int, health: str, mark: str | None = None
) -> Iterator[Server]:
    """A server by its command line, once its `health` path answers; stopped on the way out.

    `mark` counts it together with the server that it stands in front of.
    """
    own = uuid.uuid4().hex
    # A measurement that is cut short (`timeout`, a closing terminal) must not leave its server.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    environment = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONPATH": str(Path.cwd()),
        # Ray's 5 s are not enough for HAProxy's start on two busy cores.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }
    log = Path(tempfile.gettempdir()) / f"smallfirst-bench-{own}.log"
    began = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, MARK: mark or own},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(process, f"http://127.0.0.1:{port}{health}", log)
        ready_s = time.monotonic() - began
        began_at = psutil.Process(process.pid).create_time()
        yield Server(f"http://127.0.0.1:{port}/v1", mark or own, began_at, ready_s, log)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(90)
        for left in [] if mark else marked_processes(own):
            with suppress(psutil.Error):
                left.kill()
        process.kill()
        process.wait()


def marked_processes(mark: str) -> list[psutil.Process]:
    """Every process that was started, directly or not, with this mark in its environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text()[-2000:]}")
        with suppress(httpx.TransportError):
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"not ready after {START_TIMEOUT_S:.0f} s: {log.read_text()[-2000:]}")
