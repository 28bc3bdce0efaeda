"""What it costs that the head is killed and comes back through Redis: a part of docs/faults.md.

    python -m bench.pods.head_kill [--per-s 10]

A head and a worker of `dev-cpu` with the component gcs-ft-redis, as pods behind their policies,
with simulated engines; 10 requests a second, half of them streams, through the service's address.
The head is killed, and its next pod has another address. As root, with iproute2, bubblewrap,
nftables and redis-server.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
import yaml

from bench.faults.drill import ARGS, BODY, SETTLE_S, Row, merged
from bench.faults.load import ConstantLoad
from bench.faults.report import RESULTS, write_report
from bench.pods.cluster import SERVICE_ADDRESS, SERVICE_PORT, Cluster, cluster_of
from bench.pods.network import what_is_missing
from deployments.kubernetes.network import Peer
from deployments.kubernetes.overlay import Overlay, read_overlay

ROOT = Path(__file__).parents[2]
RESULT = RESULTS / "head_kill.json"
NAME = "app.kubernetes.io/name"
PASSWORD = "of-this-run-only"
# Until a kubelet and an operator have noticed that a pod is gone.
NOTICED_S = 5


def overlay_with_redis() -> Overlay:
    """`dev-cpu` with the component gcs-ft-redis, and the tiers of the other drills."""
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
    document["applications"][0]["args"] = merged(ARGS, {"gateway": {"auth": "open"}})
    overlay.rayservice["spec"]["serveConfigV2"] = yaml.safe_dump(document)
    return overlay


@contextmanager
def redis(cluster: Cluster) -> Iterator[str]:
    """The address of a Redis as redis.yaml starts it: in a namespace, behind its policy."""
    namespace, address = cluster.net.plug("redis")
    cluster.workloads.append((Peer({NAME: "smallfirst-redis"}, {}, True), namespace, address))
    folder = cluster.folder / "redis"
    folder.mkdir(parents=True)
    settings = f"requirepass {PASSWORD}\ndir {folder}\nappendonly yes\nprotected-mode no\n"
    process = subprocess.Popen(
        [
            *("ip", "netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL"),
            *("redis-server", "-"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(settings.encode())
        process.stdin.close()
        yield address
    finally:
        process.terminate()
        process.wait(30)


def made_fault_tolerant(cluster: Cluster, redis_address: str) -> None:
    """Add what the operator adds to every pod for gcsFaultToleranceOptions."""
    cluster.operator_env |= {
        "RAY_REDIS_ADDRESS": f"redis://{redis_address}:6379",
        "REDIS_PASSWORD": PASSWORD,
        "RAY_external_storage_namespace": "smallfirst",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    }


def killed_and_back(cluster: Cluster, load: ConstantLoad) -> Row:
    """Kill the head, start its next pod, and count what became of the requests meanwhile."""
    time.sleep(SETTLE_S)
    before, pids = load.all_ended(), cluster.replicas()
    began_s = time.monotonic()
    cluster.head.kill()
    time.sleep(NOTICED_S)
    cluster.ready_pod(cluster.overlay.head)
    cluster.wait_until("RUNNING")
    seconds = time.monotonic() - began_s
    time.sleep(SETTLE_S)
    came = load.all_ended().since(before)
    after = cluster.replicas()
    row = Row("head killed", round(seconds, 1), came.ok, came.lost, came.cut, dict(came.why))
    row.restarted = [name for name, then in pids.items() if not then <= after.get(name, set())]
    return row


def measured(folder: Path, per_s: float) -> Row:
    """One cluster, one kill."""
    with ExitStack() as stack:
        cluster = stack.enter_context(cluster_of(overlay_with_redis(), folder))
        made_fault_tolerant(cluster, stack.enter_context(redis(cluster)))
        cluster.come_up()
        load = ConstantLoad(f"http://{SERVICE_ADDRESS}:{SERVICE_PORT}", per_s, BODY)
        # Its thread has the network namespace of the one that starts it.
        cluster.as_("client", lambda: stack.enter_context(load))
        return killed_and_back(cluster, load)


def main(
    per_s: Annotated[float, typer.Option(help="Requests a second.")] = 10.0,
) -> None:
    """Kill the head and let it come back; write the figures and docs/faults.md."""
    missing = what_is_missing()
    if not missing and shutil.which("redis-server") is None:
        missing = "no redis-server: apt install redis-server"
    if missing:
        sys.exit(f"error: {missing}")
    with tempfile.TemporaryDirectory(prefix="smallfirst-") as folder:
        row = measured(Path(folder), per_s)
    about: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "per_s": per_s,
        "rows": [asdict(row)],
    }
    RESULT.write_text(json.dumps(about, indent=1) + "\n")
    write_report()
    print(json.dumps(asdict(row)))


if __name__ == "__main__":
    typer.run(main)
