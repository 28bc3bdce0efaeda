"""A running endpoint under constant load, what is done to it, and what that cost."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from bench.faults.endpoint import Endpoint, running_endpoint, title_of, wait_until
from bench.faults.load import ConstantLoad

DEPLOYMENTS = ("Gateway", "Classifier", "Board", "Accounts", "SmallTier", "Escalation")
ENGINE = {
    "kind": "simulated",
    "first_token_delay_s": 0.02,
    "inter_token_delay_s": 0.02,
    "inter_token_delay_growth": 0.0,
    "max_num_seqs": 64,
    "max_loras": 2,
    "max_model_len": 100_000,
    "kv_cache_tokens": 10_000_000,
    "startup_s": 3,
    "allow_drills": True,
}
TIER = {
    "num_cpus": 0.1,
    "max_ongoing_requests": 64,
    "max_queued_requests": 200,
    "scaling": {"min_replicas": 2, "max_replicas": 2},
}
# No bounds between which anything scales: what leaves was restarted.
ARGS: dict[str, Any] = {
    "classifier": {"scaling": {"min_replicas": 1, "max_replicas": 1}},
    "gateway": {"num_cpus": 0.1, "scaling": {"min_replicas": 2, "max_replicas": 2}},
    "small": {"model": "sim-small", "engine": ENGINE, **TIER},
    "large": {
        **{"model": "sim-large", "engine": {**ENGINE, "seed": 1}, **TIER},
        "scaling": {"min_replicas": 1, "max_replicas": 1},
    },
}
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
# Load before and after each change, so that what comes late is counted too, seconds.
SETTLE_S = 3.0


@dataclass
class Row:
    """One change, and what it cost."""

    change: str
    seconds: float
    ok: int
    lost: int
    cut: int
    why: dict[str, int]
    restarted: list[str] = field(default_factory=list)


@dataclass
class Drill:
    """An endpoint, its load, and the processes that stay."""

    endpoint: Endpoint
    load: ConstantLoad
    rows: list[Row] = field(default_factory=list)

    def measure(self, change: str, do: Callable[["Drill"], None]) -> Row:
        """Do something to the endpoint and note what became of the requests meanwhile."""
        time.sleep(SETTLE_S)
        before, pids = self.load.all_ended(), self.pids()
        began_s = time.monotonic()
        do(self)
        seconds = time.monotonic() - began_s
        time.sleep(SETTLE_S)
        came = self.load.all_ended().since(before)
        restarted = [name for name, now in self.pids().items() if not pids[name] <= now]
        row = Row(change, round(seconds, 1), came.ok, came.lost, came.cut, dict(came.why))
        row.restarted = restarted
        self.rows.append(row)
        return row

    def pids(self) -> dict[str, set[int]]:
        """Replica processes by deployment."""
        return {name: {p.pid for p in self.endpoint.replicas(name)} for name in DEPLOYMENTS}

    def apply(self, changes: dict[str, Any], *options: str) -> None:
        """`smallfirst apply` with the first config, changed so."""
        document = yaml.safe_load(self.config.read_text())
        args = document["applications"][0]["args"]
        document["applications"][0]["args"] = merged(args, changes)
        edited = self.config.with_name("edited.yaml")
        edited.write_text(yaml.safe_dump(document))
        self.command("apply", "--new", str(edited), *options)

    def command(self, *words: str, fails: bool = False) -> str:
        """One of our commands on this endpoint; what it said."""
        command = [sys.executable, "-c", "from deployments.cli import main; main()", *words]
        command += ["--url", self.endpoint.url, "--temp-dir", str(self.config.parent / "r")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert (done.returncode != 0) is fails, done.stderr
        return done.stderr

    @property
    def config(self) -> Path:
        """The file that the endpoint was started with."""
        return self.endpoint.output.with_name("serve.yaml")

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """The endpoint's answer to one request."""
        with httpx.Client(base_url=self.endpoint.url, timeout=60, trust_env=False) as client:
            return client.post(path, json=body)

    def processes(self, title: str) -> list[psutil.Process]:
        """The endpoint's processes whose title begins so."""
        return [p for p in self.endpoint.descendants() if title_of(p).startswith(title)]

    def wait_for(self, deployment: str, count: int) -> None:
        """Wait until so many replicas of a deployment run."""
        wait_until(lambda: len(self.endpoint.replicas(deployment)) >= count, 90, deployment)


@contextmanager
def drilled(
    args: dict[str, Any], per_s: float, *options: str, max_tokens: int = 20
) -> Iterator[Drill]:
    """A fresh endpoint, with these options of `smallfirst serve`, under constant load."""
    with (
        running_endpoint(args, *options) as endpoint,
        ConstantLoad(endpoint.url, per_s, {**BODY, "max_tokens": max_tokens}) as load,
    ):
        yield Drill(endpoint, load)


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The settings with these, group in group."""
    return settings | {
        key: merged(settings.get(key, {}), change) if isinstance(change, dict) else change
        for key, change in changes.items()
    }
