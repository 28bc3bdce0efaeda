"""The rendered pods as processes: user 1000, a read-only root, no capabilities, a network namespace
each with its policies, and one request of a client that goes all the way."""

import copy
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from bench.pods.cluster import PATIENCE, Cluster, cluster_of
from bench.pods.network import what_is_missing
from bench.pods.pod import Pod
from deployments.kubernetes.overlay import Group, Overlay
from tests.unit.k8s.conftest import rendered

MISSING = what_is_missing()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(3600),
]
SIMULATED = {"kind": "simulated", "first_token_delay_s": 0.01, "inter_token_delay_s": 0.05}
ASKED = {
    "model": "small",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


def simulated(overlay: Overlay) -> Overlay:
    """The overlay with simulated engines in both tiers, in pods of one core: Ray starts an idle
    process for each core."""
    changed = Overlay(copy.deepcopy(overlay.objects))
    document = yaml.safe_load(changed.rayservice["spec"]["serveConfigV2"])
    args = document["applications"][0]["args"]
    args["gateway"]["num_cpus"] = 0.1
    for tier in ("small", "large"):
        args[tier] = {"model": f"simulated-{tier}", "engine": SIMULATED, "num_cpus": 0.1}
        args[tier]["drain_timeout_s"] = 600
    changed.rayservice["spec"]["serveConfigV2"] = yaml.safe_dump(document)
    changed.workers[0].limits["cpu"] = "1"
    return changed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`dev-cpu` with simulated engines on one head and one worker, serving."""
    overlay = simulated(rendered("dev-cpu"))
    with cluster_of(overlay, tmp_path_factory.mktemp("pods")) as cluster:
        cluster.come_up()
        yield cluster


def changed(group: Group, **container: Any) -> Group:
    """A group whose Ray container is different."""
    manifest = copy.deepcopy(group.manifest)
    manifest["template"]["spec"]["containers"][0] |= container
    return Group(group.name, group.head, manifest)


def reaches(cluster: Cluster, who: str, address: str, port: int) -> bool:
    """Whether a connection comes about."""

    def ask() -> bool:
        try:
            httpx.get(f"http://{address}:{port}/-/healthz", timeout=PATIENCE, trust_env=False)
        except httpx.ConnectTimeout:
            return False
        return True

    return cluster.as_(who, ask)


def test_a_client_gets_an_answer_through_the_service(cluster: Cluster) -> None:
    answer = cluster.ask(ASKED)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-smallfirst-tier"] == "small"


def test_the_pods_are_as_unprivileged_as_they_say(cluster: Cluster) -> None:
    for pod in (cluster.head, *cluster.workers):
        assert pod.process is not None
        sandbox, *inside = psutil.Process(pod.process.pid).children(recursive=True)
        assert len(inside) > 3, sandbox
        for process in inside:
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "\nUid:\t1000\t1000\t1000\t1000" in status, process.cmdline()
            assert "\nCapEff:\t0000000000000000" in status and "\nNoNewPrivs:\t1" in status
            assert "\nCapBnd:\t0000000000000000" in status
            mounts = Path(f"/proc/{process.pid}/mounts").read_text().splitlines()
            (options,) = (line.split()[3] for line in mounts if line.split()[1] == "/")
            assert options.startswith("ro"), options


def test_the_policies_hold_in_the_kernel_too(cluster: Cluster) -> None:
    worker, head = cluster.workers[0].address, cluster.head.address
    assert reaches(cluster, "client", worker, 8000)
    assert not reaches(cluster, "stranger", worker, 8000)
    assert not reaches(cluster, "client", head, 8265)
    assert reaches(cluster, "operator", head, 8265)


def test_a_port_that_is_not_allowed_shuts_the_client_out(cluster: Cluster) -> None:
    policies = copy.deepcopy(cluster.overlay.of_kind("NetworkPolicy"))
    (clients,) = (one for one in policies if one["metadata"]["name"] == "clients-to-workers")
    clients["spec"]["ingress"][0]["ports"][0]["port"] = 8001
    cluster.enforce(policies)
    try:
        with pytest.raises(httpx.ConnectTimeout):
            cluster.ask(ASKED)
    finally:
        cluster.enforce()
    assert cluster.ask(ASKED).status_code == 200


def test_without_its_policy_the_operator_is_shut_out(cluster: Cluster) -> None:
    policies = cluster.overlay.of_kind("NetworkPolicy")
    cluster.enforce([one for one in policies if one["metadata"]["name"] != "operator-to-head"])
    try:
        assert not reaches(cluster, "operator", cluster.head.address, 8265)
    finally:
        cluster.enforce()


def test_a_probe_on_a_wrong_port_never_is_well(cluster: Cluster) -> None:
    worker = copy.copy(cluster.workers[0])
    worker.wait_until_ready("readinessProbe", 60)
    wrong = {"httpGet": {"path": "/-/healthz", "port": 8001}, "timeoutSeconds": 2}
    worker.group = changed(worker.group, readinessProbe=wrong)
    with pytest.raises(TimeoutError, match=r"readinessProbe.*8001"):
        worker.wait_until_ready("readinessProbe", 1)


def test_a_mount_that_was_left_out_ends_the_pod(cluster: Cluster) -> None:
    group = cluster.overlay.workers[0]
    mounts = [one for one in group.container["volumeMounts"] if one["mountPath"] != "/tmp"]
    pod = cluster.start_pod(changed(group, volumeMounts=mounts))
    with pytest.raises(TimeoutError, match=r"(?s)ended.*Read-only file system"):
        pod.wait_until_ready("livenessProbe", 240)


def test_a_variable_that_is_missing_is_named(cluster: Cluster) -> None:
    document = yaml.safe_load(cluster.overlay.rayservice["spec"]["serveConfigV2"])
    document["applications"][0]["args"]["gateway"]["auth"] = "keys"
    cluster.apply(yaml.safe_dump(document))
    # The gateway that has no keys does not start; the old one answers on.
    cluster.wait_to_hear("SMALLFIRST_API_KEYS")
    assert cluster.ask(ASKED).status_code == 200
    cluster.apply()
    cluster.wait_until("RUNNING")


def test_what_changes_without_a_restart_changes_here_too(cluster: Cluster) -> None:
    """The edits of k8s/README.md's first two rows, by the operator's PUT."""
    before = cluster.replicas()
    document = yaml.safe_load(cluster.overlay.rayservice["spec"]["serveConfigV2"])
    cluster.apply()
    cluster.wait_until("RUNNING")
    assert cluster.replicas() == before
    args = document["applications"][0]["args"]
    args["small"]["usd_per_million_prompt_tokens"] = 0.1
    args["small"]["usd_per_million_completion_tokens"] = 0.2
    args["large"]["scaling"] = {"min_replicas": 1, "max_replicas": 2}
    args["classifier"] = {"threshold": 0.55}
    cluster.apply(yaml.safe_dump(document))
    cluster.wait_until("RUNNING")
    assert cluster.replicas() == before
    args["small"]["engine"] = {**SIMULATED, "seed": 1}
    cluster.apply(yaml.safe_dump(document))
    cluster.wait_until("RUNNING")
    after = cluster.replicas()
    assert [name for name in before if after[name] != before[name]] == ["SmallTier"]


def last_line(cluster: Cluster, pod: Pod, tokens: int, began: list[float]) -> str:
    """The end of a stream from the small tier through one pod's proxy."""

    def stream() -> str:
        body = {**ASKED, "max_tokens": tokens, "stream": True}
        url = f"http://{pod.address}:8000/v1/chat/completions"
        last = ""
        try:
            with httpx.stream("POST", url, json=body, timeout=60, trust_env=False) as answer:
                for line in answer.iter_lines():
                    began.append(time.monotonic())
                    last = line or last
        except httpx.TransportError as error:
            return f"{last} {error!r}"
        return last

    return cluster.as_("client", stream)


def stopped_while_it_streams(cluster: Cluster, pod: Pod) -> str:
    """The end of a stream of 16 s whose pod is told to stop as soon as it has begun."""
    began: list[float] = []
    with ThreadPoolExecutor(2) as pool:
        last = pool.submit(last_line, cluster, pod, 320, began)
        while not began and not last.done():
            time.sleep(0.1)
        stopping = pool.submit(pod.stop)
        last.result()
        pod.kill()  # its proxy would wait for half a minute more
        stopping.result()
    return last.result()


def test_a_stream_outlives_its_pod_as_long_as_the_grace_period(cluster: Cluster) -> None:
    old = cluster.workers[0]
    # The operator's next pod, which takes over what the drained one gives up.
    fresh = cluster.ready_pod(cluster.overlay.workers[0])
    assert stopped_while_it_streams(cluster, old) == "data: [DONE]"
    cluster.wait_until("RUNNING")
    cluster.serve()
    assert cluster.ask(ASKED).status_code == 200
    # Longer than the pause of `preStop`, and shorter than the stream.
    fresh.group = copy.deepcopy(fresh.group)
    fresh.group.pod["terminationGracePeriodSeconds"] = 12
    assert stopped_while_it_streams(cluster, fresh) != "data: [DONE]"
