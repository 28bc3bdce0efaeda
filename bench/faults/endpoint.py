"""A running endpoint for tests and drills: `smallfirst serve` in a process of its own."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

# Two cores shared with the tests themselves: a start that takes 40 s alone may take minutes.
START_TIMEOUT_S = 280
TIERS = {"small", "large"}


@dataclass
class Endpoint:
    """Where it listens, and the processes behind it."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path
    ledger: Path

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replica processes of a deployment."""
        name = f"ray::ServeReplica:smallfirst:{deployment}"
        return [p for p in self.descendants() if title_of(p).startswith(name)]

    def descendants(self) -> list[psutil.Process]:
        """Every process that the endpoint started and that is still its child."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def ready(self) -> dict[str, Any]:
        """The body of `/readyz`."""
        body: dict[str, Any] = httpx.get(f"{self.url}/readyz", timeout=10, trust_env=False).json()
        return body

    def running(self, tier: str) -> int:
        """Replicas of a tier that can answer."""
        return int(self.ready()["tiers"][tier]["replicas"])

    def whole(self, least: int) -> bool:
        """Whether so many small replicas answer, and none is on its way in or out.

        The controller counts one that has just died for some moments more.
        """
        return least <= self.running("small") == len(self.replicas("SmallTier"))

    def deaths(self) -> int:
        """Replicas that left because their engine was of no more use; a drained one is none."""
        logs = self.output.parent.glob("r/*/r/session_2*/logs/serve/replica_*.log*")
        return sum(log.read_text().count("replica exits to be replaced") for log in logs)

    def records(self) -> list[dict[str, Any]]:
        """All ledger lines so far."""
        import json

        files = self.ledger.glob("*.jsonl")
        return [json.loads(line) for f in files for line in f.read_text().splitlines()]


def title_of(process: psutil.Process) -> str:
    """What a process calls itself; empty where it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(claim: Any, timeout_s: float = 30.0, what: str = "") -> None:
    """Poll until `claim()` holds; a test's bound is generous, the machine may be busy."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, f"still not: {what or claim}"
        time.sleep(0.1)


@contextmanager
def running_endpoint(args: dict[str, Any], *options: str) -> Iterator[Endpoint]:
    """An endpoint with these `AppConfig` arguments; stopped by Ctrl-C on the way out."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sft", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        gateway = {**args.get("gateway", {}), "ledger_dir": str(work / "ledger")}
        # Not the accounts of whoever runs this: they may hold keys.
        accounts = args.get("accounts", {"store": str(work / "accounts.sqlite")})
        args = {**args, "gateway": gateway, "accounts": accounts}
        # Nor what an endpoint before this one has learnt of its load: bursts are kept for a day.
        journal = str(work / "autoscale.jsonl")
        args |= {name: with_journal(args[name], journal) for name in args.keys() & TIERS}
        config = work / "serve.yaml"
        config.write_text(yaml.safe_dump({"applications": [{"args": args}]}))
        output = work / "output.txt"
        command = [sys.executable, "-c", "from deployments.cli import main; main()", "serve"]
        command += ["--config", str(config), "--port", str(port), "--no-dashboard"]
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [*command, "--temp-dir", str(work / "r"), *options], stdout=stream, stderr=stream
            )
        endpoint = Endpoint(f"http://127.0.0.1:{port}", process, output, work / "ledger")
        try:
            wait_until(lambda: _is_up(endpoint), START_TIMEOUT_S, "ready")
            yield endpoint
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=90)


def with_journal(tier: dict[str, Any], path: str) -> dict[str, Any]:
    """The tier's settings, with a journal of its own unless they name one."""
    scaling = tier.get("scaling", {})
    kwargs = {"journal_path": path} | scaling.get("policy_kwargs", {})
    return tier | {"scaling": scaling | {"policy_kwargs": kwargs}}


def _is_up(endpoint: Endpoint) -> bool:
    assert endpoint.process.poll() is None, endpoint.output.read_text()
    try:
        return httpx.get(f"{endpoint.url}/readyz", timeout=10, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
