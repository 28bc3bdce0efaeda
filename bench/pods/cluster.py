"""A rendered RayService as pods on this machine, with the operator, a client and a Service."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from bench.pods.network import Fabric, enforce, fabric, inside, nft, service
from bench.pods.pod import GCS_PORT, Pod
from deployments.kubernetes.network import Peer
from deployments.kubernetes.overlay import Group, Overlay

Result = TypeVar("Result")
HEAD_NAME = "smallfirst-head-svc.smallfirst.svc.cluster.local"
SERVICE_ADDRESS, SERVICE_PORT = "10.96.0.77", 8000
DASHBOARD_PORT = 8265
# The pods of others, as policies see them.
OUTSIDERS = {
    "operator": Peer(
        {"app.kubernetes.io/name": "kuberay-operator"},
        {"kubernetes.io/metadata.name": "kuberay-system"},
    ),
    "client": Peer({"app": "shop"}, {"smallfirst/client": "allowed"}),
    "stranger": Peer({"app": "other"}, {"kubernetes.io/metadata.name": "other"}),
}
# On two cores beside a test: a start that takes 15 s alone may take minutes.
START_S = 180.0


@dataclass
class Cluster:
    """The pods that run, and who else is there."""

    overlay: Overlay
    net: Fabric
    folder: Path
    pods: list[Pod] = field(default_factory=list)
    outsiders: dict[str, tuple[str, str]] = field(default_factory=dict)
    workloads: list[tuple[Peer, str]] = field(default_factory=list)  # others in the namespace
    operator_env: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Pod:
        """The head, or the last of them."""
        return next(pod for pod in reversed(self.pods) if pod.group.head)

    @property
    def workers(self) -> list[Pod]:
        """The workers that run."""
        return [pod for pod in self.pods if not pod.group.head and pod.running]

    def start_pod(self, group: Group, **more: Any) -> Pod:
        """A pod of a group, started and behind its policies; it need not be ready."""
        name = f"{group.name}-{len(self.pods)}"
        namespace, address = self.net.plug(name)
        head_address = address if group.head else self.head.address
        env = {
            "RAY_PORT": str(GCS_PORT),
            "RAY_ADDRESS": f"{'127.0.0.1' if group.head else HEAD_NAME}:{GCS_PORT}",
            "RAY_CLOUD_INSTANCE_ID": name,
            "RAY_NODE_TYPE_NAME": "headgroup" if group.head else group.name,
            **self.operator_env,
        }
        hosts = {HEAD_NAME: head_address}
        folder = self.folder / name
        if group.head:
            self._rename(address)
        pod = Pod(name, group, namespace, address, folder, env=env, hosts=hosts, **more)
        self.pods.append(pod)
        self.enforce()
        pod.start()
        return pod

    def _rename(self, address: str) -> None:
        """Let the name of the head's service mean a new pod, for those that run."""
        for pod in self.workers:
            pod.hosts[HEAD_NAME] = address
            pod.write_hosts()

    def enforce(self, policies: list[dict[str, Any]] | None = None) -> None:
        """Put the overlay's NetworkPolicies, or others, in force."""
        policies = self.overlay.of_kind("NetworkPolicy") if policies is None else policies
        everybody = [(pod.peer, pod.address) for pod in self.pods]
        everybody += self.workloads
        everybody += [(OUTSIDERS[name], address) for name, (_, address) in self.outsiders.items()]
        for pod in self.pods:
            nft(pod.namespace, enforce(policies, pod.peer, pod.address, everybody))

    def as_(self, who: str, work: Callable[[], Result]) -> Result:
        """Do something in an outsider's place."""
        return inside(self.outsiders[who][0], work)

    def apply(self, serve_config: str | None = None) -> None:
        """Hand the Serve config to the head, as the operator does with `serveConfigV2`."""
        config = serve_config or self.overlay.rayservice["spec"]["serveConfigV2"]
        url = f"http://{self.head.address}:{DASHBOARD_PORT}/api/serve/applications/"
        answer = self.as_(
            "operator",
            lambda: httpx.put(url, json=yaml.safe_load(config), timeout=30, trust_env=False),
        )
        answer.raise_for_status()

    def status(self) -> dict[str, Any]:
        """What Serve says of itself, as the operator asks."""
        url = f"http://{self.head.address}:{DASHBOARD_PORT}/api/serve/applications/"
        answer = self.as_("operator", lambda: httpx.get(url, timeout=30, trust_env=False))
        document: dict[str, Any] = answer.json()
        return document

    def wait_until(self, state: str, timeout_s: float = START_S) -> dict[str, Any]:
        """The application's details, once it is in a state. Raises: `TimeoutError` with them."""
        give_up_s = time.monotonic() + timeout_s
        while True:
            applications = self.status().get("applications", {})
            application: dict[str, Any] = next(iter(applications.values()), {})
            if application.get("status") == state:
                return application
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"not {state}: {json.dumps(application)[:3000]}")
            time.sleep(0.5)

    def serve(self) -> None:
        """Point the service address at the workers that are ready, as their probes say."""
        for pod in self.workers:
            pod.wait_until_ready("readinessProbe", START_S)
        namespace, _ = self.outsiders["client"]
        service(namespace, SERVICE_ADDRESS, SERVICE_PORT, [pod.address for pod in self.workers])

    def ask(self, body: dict[str, Any], timeout_s: float = 120) -> httpx.Response:
        """A chat completion from the client, through the service address."""
        url = f"http://{SERVICE_ADDRESS}:{SERVICE_PORT}/v1/chat/completions"
        return self.as_(
            "client", lambda: httpx.post(url, json=body, timeout=timeout_s, trust_env=False)
        )


@contextmanager
def empty_cluster(overlay: Overlay, folder: Path) -> Iterator[Cluster]:
    """A cluster without pods, but with everybody else; all of it is gone afterwards."""
    with fabric() as net:
        cluster = Cluster(overlay, net, folder)
        try:
            for name in OUTSIDERS:
                cluster.outsiders[name] = net.plug(name)
            yield cluster
        finally:
            for pod in reversed(cluster.pods):
                pod.kill()


@contextmanager
def running_cluster(overlay: Overlay, folder: Path, workers: int = 1) -> Iterator[Cluster]:
    """Head and workers, ready for a Serve config."""
    with empty_cluster(overlay, folder) as cluster:
        head = cluster.start_pod(overlay.head)
        head.wait_until_ready("readinessProbe", START_S)
        for _ in range(workers):
            pod = cluster.start_pod(overlay.workers[0])
            pod.wait_until_ready("livenessProbe", START_S)
        yield cluster
