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

from bench.pods.cluster import START_S, Cluster, running_cluster
from bench.pods.network import what_is_missing
from bench.pods.pod import Pod
from deployments.kubernetes.overlay import Group, Overlay
from tests.unit.k8s.conftest import rendered

MISSING = what_is_missing()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(600),
]
SIMULATED = {"kind": "simulated", "first_token_delay_s": 0.01, "inter_token_delay_s": 0.05}
ASKED = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


def with_engines(overlay: Overlay, engine: dict[str, Any]) -> Overlay:
    """The overlay with another engine in both tiers."""
    changed = Overlay(copy.deepcopy(overlay.objects))
    document = yaml.safe_load(changed.rayservice["spec"]["serveConfigV2"])
    args = document["applications"][0]["args"]
    for tier in ("small", "large"):
        args[tier] = {"model": f"simulated-{tier}", "engine": engine, "num_cpus": 0.1}
        args[tier]["drain_timeout_s"] = 600
    changed.rayservice["spec"]["serveConfigV2"] = yaml.safe_dump(document)
    return changed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`dev-cpu` with simulated engines on one head and one worker, serving."""
    overlay = with_engines(rendered("dev-cpu"), SIMULATED)
    with running_cluster(overlay, tmp_path_factory.mktemp("pods")) as cluster:
        cluster.apply()
        cluster.wait_until("RUNNING")
        cluster.serve()
        yield cluster


def changed(group: Group, **container: Any) -> Group:
    """A group whose Ray container is different."""
    manifest = copy.deepcopy(group.manifest)
    manifest["template"]["spec"]["containers"][0] |= container
    return Group(group.name, group.head, manifest)


def test_a_client_gets_an_answer_through_the_service(cluster: Cluster) -> None:
    answer = cluster.ask({"model": "small", "max_tokens": 5, **ASKED})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-smallfirst-tier"] == "small"


def test_the_pods_are_as_unprivileged_as_they_say(cluster: Cluster) -> None:
    for pod in cluster.pods:
        for process in psutil.Process(pod.process.pid).children(recursive=True)[1:]:  # type: ignore[union-attr]  # it runs
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "\nUid:\t1000\t1000\t1000\t1000" in status, process.cmdline()
            assert "\nCapEff:\t0000000000000000" in status and "\nNoNewPrivs:\t1" in status
            assert "\nCapBnd:\t0000000000000000" in status


def reaches(cluster: Cluster, who: str, address: str, port: int) -> bool:
    def ask() -> bool:
        try:
            httpx.get(f"http://{address}:{port}/-/healthz", timeout=2, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    return cluster.as_(who, ask)


def test_the_policies_hold_in_the_kernel_too(cluster: Cluster) -> None:
    worker, head = cluster.workers[0].address, cluster.head.address
    assert reaches(cluster, "client", worker, 8000)
    assert not reaches(cluster, "stranger", worker, 8000)
    assert not reaches(cluster, "client", head, 8265)
    assert reaches(cluster, "operator", head, 8265)


def test_without_its_policy_the_client_is_shut_out(cluster: Cluster) -> None:
    policies = cluster.overlay.of_kind("NetworkPolicy")
    rest = [one for one in policies if one["metadata"]["name"] != "clients-to-workers"]
    cluster.enforce(rest)
    assert not reaches(cluster, "client", cluster.workers[0].address, 8000)
    cluster.enforce()
    assert reaches(cluster, "client", cluster.workers[0].address, 8000)


def test_a_probe_on_a_wrong_port_never_is_well(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    assert worker.probe("readinessProbe") is None and worker.probe("livenessProbe") is None
    wrong = {"httpGet": {"path": "/-/healthz", "port": 8001}, "timeoutSeconds": 2}
    other = copy.copy(worker)
    other.group = changed(worker.group, readinessProbe=wrong)
    assert other.probe("readinessProbe")


def test_a_mount_that_was_left_out_ends_the_pod(cluster: Cluster) -> None:
    group = cluster.overlay.workers[0]
    mounts = [one for one in group.container["volumeMounts"] if one["mountPath"] != "/tmp"]
    pod = cluster.start_pod(changed(group, volumeMounts=mounts))
    with pytest.raises(TimeoutError, match=r"(?s)ended.*Read-only file system"):
        pod.wait_until_ready("livenessProbe", 120)


def test_a_variable_that_is_missing_is_named(cluster: Cluster) -> None:
    document = yaml.safe_load(cluster.overlay.rayservice["spec"]["serveConfigV2"])
    document["applications"][0]["args"]["gateway"]["auth"] = "keys"
    cluster.apply(yaml.safe_dump(document))
    # The gateways that have no keys do not start; the old ones answer on.
    details = cluster.wait_until("DEPLOY_FAILED")
    assert "SMALLFIRST_API_KEYS" in str(details)
    assert cluster.ask({"model": "small", "max_tokens": 5, **ASKED}).status_code == 200
    cluster.apply()
    cluster.wait_until("RUNNING")


def replicas(cluster: Cluster) -> dict[str, set[int]]:
    """The process ids of every deployment."""
    (application,) = cluster.status()["applications"].values()
    return {
        name: {replica["pid"] for replica in deployment["replicas"]}
        for name, deployment in application["deployments"].items()
    }


def test_what_changes_without_a_restart_changes_here_too(cluster: Cluster) -> None:
    """The edits of k8s/README.md's first row, by the operator's PUT."""
    before = replicas(cluster)
    document = yaml.safe_load(cluster.overlay.rayservice["spec"]["serveConfigV2"])
    cluster.apply()
    cluster.wait_until("RUNNING")
    assert replicas(cluster) == before
    args = document["applications"][0]["args"]
    args["small"]["usd_per_million_completion_tokens"] = 0.2
    args["small"]["scaling"] = {"min_replicas": 1, "max_replicas": 2}
    cluster.apply(yaml.safe_dump(document))
    cluster.wait_until("RUNNING")
    after = replicas(cluster)
    assert after["SmallTier"] == before["SmallTier"]
    assert after["Escalation"] == before["Escalation"]
    assert after["Classifier"] == before["Classifier"]


def streamed(cluster: Cluster, pod: Pod, tokens: int, began: list[float]) -> str:
    """The end of a stream from the small tier through one pod's proxy."""

    def stream() -> str:
        body = {"model": "small", "max_tokens": tokens, "stream": True, **ASKED}
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


@pytest.mark.parametrize("grace_s", [None, 12])
def test_a_stream_outlives_its_pod_as_long_as_the_grace_period(
    cluster: Cluster, grace_s: int | None
) -> None:
    victim = cluster.workers[0]
    if grace_s is not None:
        manifest = copy.deepcopy(victim.group.manifest)
        manifest["template"]["spec"]["terminationGracePeriodSeconds"] = grace_s
        victim.group = Group(victim.group.name, False, manifest)
    # The operator's next pod, which takes over what the drained one gives up.
    fresh = cluster.start_pod(cluster.overlay.workers[0])
    fresh.wait_until_ready("livenessProbe", START_S)
    began: list[float] = []
    with ThreadPoolExecutor(2) as pool:
        last = pool.submit(streamed, cluster, victim, 400, began)  # 20 s
        while not began and not last.done():
            time.sleep(0.1)
        stopping = pool.submit(victim.stop)
        assert (last.result() == "data: [DONE]") is (grace_s is None), last.result()
        victim.kill()  # its proxy would wait for half a minute more
        stopping.result()
    cluster.wait_until("RUNNING")
    cluster.serve()
    assert cluster.ask({"model": "small", "max_tokens": 5, **ASKED}).status_code == 200


def test_the_default_model_answers_in_its_pod(cluster: Cluster) -> None:
    """`dev-cpu` as it is: converted into the home folder, which is all that can be written."""
    cluster.apply(rendered("dev-cpu").rayservice["spec"]["serveConfigV2"])
    cluster.wait_until("RUNNING", 400)
    answer = cluster.ask({"model": "small", "max_tokens": 10, "temperature": 0, **ASKED})
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "smollm2-135m-int4"
    assert answer.json()["usage"]["completion_tokens"] > 0
