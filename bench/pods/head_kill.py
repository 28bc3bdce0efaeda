"""How many requests fail while the head is killed and comes back through Redis: two Ray nodes in
network namespaces, as their manifests say.

    python -m bench.pods.head_kill [--rate 10] [--seconds 90]

As root, with iproute2, bubblewrap, nftables and redis-server. Writes results/head_kill.json.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.pods.cluster import SERVICE_ADDRESS, SERVICE_PORT, START_S, Cluster, empty_cluster
from bench.pods.network import what_is_missing
from deployments.kubernetes.network import Peer
from deployments.kubernetes.overlay import Overlay, read_overlay

ROOT = Path(__file__).parents[2]
RESULT = Path(__file__).parent / "results" / "head_kill.json"
NAME = "app.kubernetes.io/name"
PASSWORD = "of-this-run-only"
ENGINE = {"kind": "simulated", "first_token_delay_s": 0.05, "inter_token_delay_s": 0.02}
BODY = {
    "model": "auto",
    "messages": [{"role": "user", "content": "What are your opening hours?"}],
    "max_tokens": 40,
}


def overlay_with_redis() -> Overlay:
    """`dev-cpu` with the component gcs-ft-redis, and simulated engines in both tiers."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "k8s"
        shutil.copytree(ROOT / "k8s", tree)
        file = tree / "overlays" / "dev-cpu" / "kustomization.yaml"
        kustomization = yaml.safe_load(file.read_text())
        kustomization["components"] = ["../../components/gcs-ft-redis"]
        file.write_text(yaml.safe_dump(kustomization))
        kubectl = Path(sys.executable).parent / "kubectl"
        done = subprocess.run(
            [kubectl, "kustomize", file.parent], capture_output=True, text=True, check=True
        )
    overlay = read_overlay(done.stdout)
    document = yaml.safe_load(overlay.rayservice["spec"]["serveConfigV2"])
    args = document["applications"][0]["args"]
    for tier in ("small", "large"):
        args[tier] = {"model": f"simulated-{tier}", "engine": ENGINE, "num_cpus": 0.1}
    overlay.rayservice["spec"]["serveConfigV2"] = yaml.safe_dump(document)
    return overlay


@contextmanager
def redis(cluster: Cluster) -> Iterator[str]:
    """A Redis in a namespace of its own; its address. As redis.yaml starts it."""
    namespace, address = cluster.net.plug("redis")
    folder = cluster.folder / "redis"
    folder.mkdir(parents=True)
    command = ["redis-server", "-"]
    settings = f"requirepass {PASSWORD}\ndir {folder}\nappendonly yes\nprotected-mode no\n"
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(settings.encode())
    process.stdin.close()
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def fault_tolerant(cluster: Cluster, redis_address: str) -> None:
    """What the operator adds to every pod for gcsFaultToleranceOptions."""
    cluster.operator_env |= {
        "RAY_REDIS_ADDRESS": f"redis://{redis_address}:6379",
        "REDIS_PASSWORD": PASSWORD,
        "RAY_external_storage_namespace": "smallfirst",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    }


class Load:
    """Requests at a steady rate from the client's namespace, open loop."""

    def __init__(self, cluster: Cluster, rate_rps: float) -> None:
        self._cluster = cluster
        self._rate_rps = rate_rps
        self._stop = threading.Event()
        self.outcomes: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=lambda: cluster.as_("client", self._run))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._send())

    async def _send(self) -> None:
        url = f"http://{SERVICE_ADDRESS}:{SERVICE_PORT}/v1/chat/completions"
        sent: list[asyncio.Task[None]] = []
        # A connection each, as from many clients: a kept one would hide a pod that is gone.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
            while not self._stop.is_set():
                sent.append(asyncio.create_task(self._one(client, url)))
                await asyncio.sleep(1 / self._rate_rps)
            await asyncio.gather(*sent)

    async def _one(self, client: httpx.AsyncClient, url: str) -> None:
        began_s = time.monotonic()
        try:
            outcome = str((await client.post(url, json=BODY)).status_code)
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.outcomes.append((began_s, outcome))


def run(folder: Path, rate_rps: float, seconds: float) -> dict[str, Any]:
    """Start, load, kill the head, start it again, and count."""
    overlay = overlay_with_redis()
    with empty_cluster(overlay, folder) as cluster, redis(cluster) as address:
        fault_tolerant(cluster, address)
        cluster.workloads.append((Peer({NAME: "smallfirst-redis"}, {}, True), address))
        head = cluster.start_pod(overlay.head)
        head.wait_until_ready("readinessProbe", START_S)
        cluster.start_pod(overlay.workers[0]).wait_until_ready("livenessProbe", START_S)
        cluster.apply()
        cluster.wait_until("RUNNING")
        cluster.serve()
        with Load(cluster, rate_rps) as load:
            time.sleep(seconds / 3)
            killed_s = time.monotonic()
            head.kill()
            time.sleep(5)  # until a kubelet and an operator have noticed
            # A pod of its own, with another address, as the operator makes one.
            cluster.start_pod(overlay.head).wait_until_ready("readinessProbe", START_S)
            cluster.wait_until("RUNNING")
            recovered_s = time.monotonic()
            time.sleep(seconds / 3)
        worker_survived = cluster.workers != []
        outcomes = load.outcomes
    away = [o for began_s, o in outcomes if killed_s - 1 <= began_s <= recovered_s]
    return {
        "rate_rps": rate_rps,
        "requests": len(outcomes),
        "outcomes": dict(Counter(outcome for _, outcome in outcomes)),
        "failed": sum(outcome != "200" for _, outcome in outcomes),
        "requests_while_the_head_was_away": len(away),
        "failed_while_the_head_was_away": sum(outcome != "200" for outcome in away),
        "seconds_until_the_head_was_back": round(recovered_s - killed_s, 1),
        "worker_survived": worker_survived,
    }


def main() -> None:
    """Measure and write the result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=float, default=10.0, help="Requests a second.")
    options.add_argument("--seconds", type=float, default=60.0, help="Of load around the kill.")
    given = options.parse_args()
    missing = what_is_missing() or (
        None if shutil.which("redis-server") else "no redis-server: apt install redis-server"
    )
    if missing:
        sys.exit(f"error: {missing}")
    with tempfile.TemporaryDirectory(prefix="sfp") as folder:
        result = run(Path(folder), given.rate, given.seconds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
