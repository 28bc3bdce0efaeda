"""A rendered RayService as pods on this machine, with the operator, a client and a Service."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
# On two busy cores a start that takes 15 s alone may take minutes.
START_S = 900.0
# Ray gives a node 30 s to start, and its agents 15 s of them, fixed in its code.
ATTEMPTS = 8
# A connection is the kernel's, and comes about at once or never; an answer may take long.
PATIENCE = httpx.Timeout(120, connect=5)


@dataclass
class Cluster:
    """The pods that run, and who else is there."""

    overlay: Overlay
    net: Fabric
    folder: Path
    on_exit: ExitStack  # ends every pod, whatever another's end raises
    pods: list[Pod] = field(default_factory=list)
    outsiders: dict[str, tuple[str, str]] = field(default_factory=dict)
    # Who else is in the namespace: as policies see it, its network namespace and its address.
    workloads: list[tuple[Peer, str, str]] = field(default_factory=list)
    operator_env: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Pod:
        """The head, or the last of them."""
        return next(pod for pod in reversed(self.pods) if pod.group.head)

    @property
    def workers(self) -> list[Pod]:
        """The workers that run."""
        return [pod for pod in self.pods if not pod.group.head and pod.running]

    def come_up(self, workers: int = 1) -> None:
        """Head and workers, what the RayService tells Serve, and its Service."""
        self.ready_pod(self.overlay.head)
        for _ in range(workers):
            self.ready_pod(self.overlay.workers[0])
        self.apply()
        self.wait_until("RUNNING")
        self.serve()

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
        self.on_exit.callback(pod.kill)
        self.enforce()
        pod.start()
        return pod

    def ready_pod(self, group: Group) -> Pod:
        """A pod whose node is up, as the operator gets one: in the place of a pod that has ended
        it makes another. A worker's readiness is that of Serve on it, which comes later. Raises:
        `TimeoutError` when the last attempt has ended too."""
        for attempt in range(1, ATTEMPTS + 1):
            pod = self.start_pod(group)
            try:
                pod.wait_until_ready("readinessProbe" if group.head else "livenessProbe", START_S)
                break
            except TimeoutError:
                if pod.running or attempt == ATTEMPTS:
                    raise
        return pod

    def _rename(self, address: str) -> None:
        """Let the name of the head's service mean a new pod, for those that run."""
        for pod in self.workers:
            pod.hosts[HEAD_NAME] = address
            pod.write_hosts()

    def enforce(self, policies: list[dict[str, Any]] | None = None) -> None:
        """Put the overlay's NetworkPolicies, or others, in force."""
        policies = self.overlay.of_kind("NetworkPolicy") if policies is None else policies
        ours = [(pod.peer, pod.namespace, pod.address) for pod in self.pods] + self.workloads
        everybody = [(peer, address) for peer, _, address in ours]
        everybody += [(OUTSIDERS[name], address) for name, (_, address) in self.outsiders.items()]
        for peer, namespace, address in ours:
            nft(namespace, enforce(policies, peer, address, everybody))

    def as_(self, who: str, work: Callable[[], Result]) -> Result:
        """Do something in an outsider's place."""
        return inside(self.outsiders[who][0], work)

    def apply(self, serve_config: str | None = None) -> None:
        """Hand the Serve config to the head, as the operator does with `serveConfigV2`."""
        config = serve_config or self.overlay.rayservice["spec"]["serveConfigV2"]
        self._ask_serve("PUT", json=yaml.safe_load(config)).raise_for_status()

    def status(self) -> dict[str, Any]:
        """What Serve says of itself, as the operator asks."""
        document: dict[str, Any] = self._ask_serve("GET").json()
        return document

    def _ask_serve(self, method: str, **more: Any) -> httpx.Response:
        """Serve's REST API, asked until it answers, as the operator does: a head that has just
        started, or has come back, needs a while."""
        url = f"http://{self.head.address}:{DASHBOARD_PORT}/api/serve/applications/"
        give_up_s = time.monotonic() + START_S
        while True:
            try:
                answer = self.as_(
                    "operator",
                    lambda: httpx.request(method, url, timeout=60, trust_env=False, **more),
                )
                if answer.status_code < 500 or time.monotonic() > give_up_s:
                    return answer
            except httpx.TransportError:
                if time.monotonic() > give_up_s:
                    raise
            time.sleep(1)

    def wait_until(self, state: str) -> None:
        """Return when the application is in a state. Raises: `TimeoutError` with what it says of
        itself, at once where it has failed."""
        self.wait_to_hear(f"smallfirst: {state}")

    def wait_to_hear(self, words: str) -> None:
        """Return when Serve says so, of the application or one of its deployments. Raises:
        `TimeoutError` with what it says instead, at once where the application has failed."""
        give_up_s = time.monotonic() + START_S
        while words not in (said := spoken(self.status())):
            if "smallfirst: DEPLOY_FAILED" in said or time.monotonic() > give_up_s:
                raise TimeoutError(f"not {words}: {said}")
            time.sleep(0.5)

    def replicas(self) -> dict[str, set[tuple[str, int]]]:
        """The processes of every deployment: node and process id. One that starts has neither."""
        (application,) = self.status()["applications"].values()
        return {
            name: {(one["node_ip"], one["pid"]) for one in deployment["replicas"] if one.get("pid")}
            for name, deployment in application["deployments"].items()
        }

    def serve(self) -> None:
        """Point the service address at the workers that are ready, as their probes say."""
        for pod in self.workers:
            pod.wait_until_ready("readinessProbe", START_S)
        namespace, _ = self.outsiders["client"]
        service(namespace, SERVICE_ADDRESS, SERVICE_PORT, [pod.address for pod in self.workers])

    def ask(self, body: dict[str, Any]) -> httpx.Response:
        """A chat completion from the client, through the service address. Raises:
        `httpx.ConnectTimeout` where no connection comes about."""
        url = f"http://{SERVICE_ADDRESS}:{SERVICE_PORT}/v1/chat/completions"
        return self.as_(
            "client", lambda: httpx.post(url, json=body, timeout=PATIENCE, trust_env=False)
        )


def spoken(details: dict[str, Any]) -> str:
    """What Serve says of the application and its deployments: a line each, or more."""
    application: dict[str, Any] = next(iter(details.get("applications", {}).values()), {})
    parts = {"smallfirst": application, **application.get("deployments", {})}
    return "\n".join(
        f"{name}: {one.get('status')} {one.get('message')}" for name, one in parts.items()
    )


@contextmanager
def cluster_of(overlay: Overlay, folder: Path) -> Iterator[Cluster]:
    """A cluster without pods yet, but with everybody else; all of it is gone afterwards."""
    with fabric() as net, ExitStack() as on_exit:
        cluster = Cluster(overlay, net, folder, on_exit)
        for name in OUTSIDERS:
            cluster.outsiders[name] = net.plug(name)
        yield cluster
