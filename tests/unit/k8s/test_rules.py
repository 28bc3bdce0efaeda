"""The manifests keep every rule, and every rule finds a manifest that breaks it."""

from typing import Any

import pytest
import yaml

from deployments.commands.ray_environment import HAPROXY_RETRIES, RAY_ENVIRONMENT
from deployments.kubernetes.checks import findings, rules
from deployments.kubernetes.overlay import Overlay
from tests.unit.k8s.conftest import edit, rendered

CLUSTER = "spec/rayClusterConfig"
HEAD = f"{CLUSTER}/headGroupSpec"
WORKER = f"{CLUSTER}/workerGroupSpecs/0"
SPOT = f"{CLUSTER}/workerGroupSpecs/1"
POD = f"{WORKER}/template/spec"
CONTAINER = f"{POD}/containers/0"
UPGRADE = "spec/upgradeStrategy"
REDIS = "spec/template/spec/containers/0"
KEY = {"name": "UPSTREAM_API_KEY", "value": "sk-1"}
SEALED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
CPU_ONLY = {"requests": {"cpu": "8", "memory": "32Gi"}, "limits": {"cpu": "8", "memory": "32Gi"}}
SHARED = {
    "requests": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu.shared": "1"},
    "limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu.shared": "1"},
}
# The rule, the kind of the object, where in it, and the value that breaks it.
BREAKS: list[tuple[str, str, str, Any]] = [
    ("name_is_short", "RayService", "metadata/name", "s" * 48),
    ("bounds_are_ordered", "RayService", f"{WORKER}/minReplicas", 99),
    ("bounds_are_ordered", "RayService", f"{SPOT}/maxReplicas", 0),
    ("group_names_differ", "RayService", f"{SPOT}/groupName", "workers"),
    ("replicas_are_the_autoscalers", "RayService", f"{WORKER}/replicas", 1),
    ("upgrade_is_known", "RayService", f"{UPGRADE}/type", "Rolling"),
    ("upgrade_is_known", "RayService", f"{CLUSTER}/upgradeStrategy", {"type": "Recreate"}),
    ("incremental_upgrade_is_whole", "RayService", f"{CLUSTER}/enableInTreeAutoscaling", False),
    (
        "incremental_upgrade_is_whole",
        "RayService",
        f"{UPGRADE}/clusterUpgradeOptions/stepSizePercent",
        60,
    ),
    (
        "incremental_upgrade_is_whole",
        "RayService",
        f"{UPGRADE}/clusterUpgradeOptions/intervalSeconds",
        0,
    ),
    (
        "incremental_upgrade_is_whole",
        "RayService",
        f"{UPGRADE}/clusterUpgradeOptions/gatewayClassName",
        None,
    ),
    ("v2_restarts_nothing", "RayService", f"{POD}/restartPolicy", "Always"),
    ("ray_params_are_strings", "RayService", f"{WORKER}/rayStartParams/num-cpus", 4),
    ("ray_params_are_strings", "RayService", f"{WORKER}/rayStartParams/labels", "a=b"),
    ("resources_are_said_once", "RayService", f"{HEAD}/resources", {"CPU": "0"}),
    ("deprecated_thresholds_are_gone", "RayService", "spec/serviceUnhealthySecondThreshold", 900),
    ("gated_fields_are_unused", "RayService", f"{CLUSTER}/networkPolicy", {}),
    ("head_takes_no_work", "RayService", f"{HEAD}/rayStartParams/num-cpus", None),
    (
        "head_takes_no_work",
        "RayService",
        f"{HEAD}/template/spec/containers/0/resources/limits/nvidia.com~gpu",
        "1",
    ),
    ("gpus_are_seen", "RayService", f"{CONTAINER}/resources", SHARED),
    ("gpus_are_seen", "RayService", f"{POD}/resourceClaims", [{"name": "gpu"}]),
    ("ray_knows_the_token", "RayService", f"{CLUSTER}/rayVersion", "2.51.1"),
    ("ray_knows_the_token", "RayService", f"{CLUSTER}/authOptions/enableK8sTokenAuth", True),
    (
        "fault_tolerance_is_said_once",
        "RayService",
        f"{HEAD}/template/spec/containers/0/env/-",
        {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"},
    ),
    (
        "fault_tolerance_is_said_once",
        "RayService",
        f"{CLUSTER}/gcsFaultToleranceOptions/redisAddress",
        None,
    ),
    (
        "mounts_have_volumes",
        "RayService",
        f"{CONTAINER}/volumeMounts/-",
        {"name": "missing", "mountPath": "/x"},
    ),
    ("mounts_have_volumes", "StatefulSet", "spec/volumeClaimTemplates", []),
    (
        "mounts_do_not_collide",
        "RayService",
        f"{CONTAINER}/volumeMounts/-",
        {"name": "tmp", "mountPath": "/models"},
    ),
    (
        "requests_stay_within_limits",
        "RayService",
        f"{CONTAINER}/resources/requests/memory",
        "100Gi",
    ),
    ("requests_stay_within_limits", "RayService", f"{CONTAINER}/resources/limits/cpu", "7900m"),
    ("requests_stay_within_limits", "RayService", f"{CONTAINER}/resources/limits/memory", None),
    (
        "requests_stay_within_limits",
        "RayService",
        f"{CONTAINER}/resources/requests/nvidia.com~gpu",
        "2",
    ),
    (
        "requests_stay_within_limits",
        "RayService",
        f"{CONTAINER}/resources/limits/nvidia.com~gpu",
        None,
    ),
    (
        "ports_differ",
        "RayService",
        f"{CONTAINER}/ports/-",
        {"name": "serve", "containerPort": 1},
    ),
    ("ports_differ", "RayService", f"{CONTAINER}/ports/-", {"name": "b", "containerPort": 8000}),
    (
        "ports_differ",
        "RayService",
        f"{CONTAINER}/ports/-",
        {"name": "sixteen-letters-", "containerPort": 1},
    ),
    ("labels_are_valid", "RayService", f"{WORKER}/template/metadata/labels/team", "a b"),
    (
        "labels_are_valid",
        "RayService",
        f"{WORKER}/template/metadata/labels/app.kubernetes.io~name",
        "ray",
    ),
    (
        "labels_are_valid",
        "RayService",
        f"{SPOT}/template/metadata/labels/app.kubernetes.io~component",
        "spot",
    ),
    ("images_are_versioned", "RayService", f"{CONTAINER}/image", "smallfirst:latest"),
    ("images_are_versioned", "RayService", f"{CONTAINER}/image", "smallfirst"),
    ("images_are_versioned", "RayService", f"{CONTAINER}/image", "registry:5000/smallfirst"),
    ("images_are_versioned", "StatefulSet", f"{REDIS}/image", "redis:alpine"),
    ("pods_are_restricted", "RayService", f"{POD}/securityContext/runAsNonRoot", False),
    ("pods_are_restricted", "RayService", f"{POD}/securityContext/runAsUser", 0),
    ("pods_are_restricted", "RayService", f"{POD}/securityContext/seccompProfile", None),
    ("pods_are_restricted", "RayService", f"{POD}/hostIPC", True),
    (
        "pods_are_restricted",
        "RayService",
        f"{POD}/volumes/-",
        {"name": "host", "hostPath": {"path": "/"}},
    ),
    (
        "containers_are_sealed",
        "RayService",
        f"{CONTAINER}/securityContext/readOnlyRootFilesystem",
        False,
    ),
    (
        "containers_are_sealed",
        "RayService",
        f"{CONTAINER}/securityContext/capabilities/add",
        ["SYS_PTRACE"],
    ),
    ("containers_are_sealed", "RayService", f"{CONTAINER}/securityContext", None),
    ("containers_are_sealed", "RayService", f"{CONTAINER}/securityContext/privileged", True),
    ("containers_are_sealed", "RayService", f"{CLUSTER}/autoscalerOptions/securityContext", {}),
    ("containers_are_sealed", "RayService", f"{POD}/initContainers", [{"name": "a", "image": "a"}]),
    ("scratch_can_be_written", "RayService", f"{CONTAINER}/volumeMounts", []),
    ("scratch_can_be_written", "RayService", f"{POD}/volumes/0/emptyDir", {}),
    (
        "scratch_can_be_written",
        "RayService",
        f"{CONTAINER}/env/0",
        {"name": "HOME", "value": "/root"},
    ),
    ("secrets_are_references", "RayService", f"{CONTAINER}/env/-", KEY),
    ("only_the_head_has_a_token", "RayService", f"{POD}/automountServiceAccountToken", True),
    ("smallest_application_fits", "RayService", f"{WORKER}/minReplicas", 1),
    ("largest_application_fits", "RayService", f"{SPOT}/maxReplicas", 1),
    ("no_gpu_is_idle", "RayService", f"{SPOT}/maxReplicas", 3),
    ("one_replica_fits_one_pod", "RayService", f"{CLUSTER}/workerGroupSpecs", []),
    ("shares_fill_a_gpu", "RayService", f"{CONTAINER}/resources/limits/cpu", "3"),
    ("workers_are_alike", "RayService", f"{SPOT}/template/spec/containers/0/volumeMounts", []),
    ("workers_are_alike", "RayService", f"{CONTAINER}/env/-", {"name": "MORE", "value": "1"}),
    ("models_are_mounted", "RayService", f"{CONTAINER}/volumeMounts", []),
    (
        "journals_outlive_the_controller",
        "RayService",
        f"{HEAD}/template/spec/containers/0/volumeMounts",
        [],
    ),
    ("secrets_reach_the_workers", "RayService", f"{CONTAINER}/env", []),
    (
        "secrets_reach_the_workers",
        "RayService",
        f"{CONTAINER}/env/-",
        {"name": "SMALLFIRST_API_KEYS_FILE", "value": "/etc/elsewhere/keys"},
    ),
    ("probes_ask_what_serves", "RayService", f"{CONTAINER}/readinessProbe/httpGet/port", 8001),
    ("probes_ask_what_serves", "RayService", f"{CONTAINER}/readinessProbe", None),
    ("quota_holds_an_upgrade", "ResourceQuota", "spec/hard/requests.nvidia.com~gpu", "4"),
    ("quota_holds_an_upgrade", "ResourceQuota", "spec/hard/pods", "9"),
    ("quota_holds_an_upgrade", "ResourceQuota", "spec/hard/requests.memory", "200Gi"),
    ("drains_can_proceed", "PodDisruptionBudget", "spec/minAvailable", "50%"),
    ("drains_can_proceed", "PodDisruptionBudget", "spec/minAvailable", 2),
    ("drains_can_proceed", "PodDisruptionBudget", "spec", {"maxUnavailable": 1, "selector": {}}),
    ("environment_is_whole", "RayService", f"{CONTAINER}/env/3", {"name": "X", "value": "1"}),
    ("everything_is_denied_first", "NetworkPolicy:default", "spec/policyTypes", None),
    (
        "policies_go_by_our_label",
        "PodMonitor",
        "spec/selector/matchLabels/ray.io~cluster",
        "smallfirst-x7r2k",
    ),
]
NAMES = sorted({rule.__name__ for rule in rules(RAY_ENVIRONMENT)})
# Held by tables of their own.
ELSEWHERE = {
    "requests_outlive_changes",
    "idle_workers_outlast_the_policy",
    "upstreams_can_be_reached",
    "engines_keep_to_their_share",
    "accounts_outlive_their_pod",
    "v2_settings_name_their_version",
}


def found(overlay: Overlay) -> set[str]:
    return {finding.rule for finding in findings(overlay, RAY_ENVIRONMENT)}


def test_every_rule_is_kept(overlay: Overlay) -> None:
    assert findings(overlay, RAY_ENVIRONMENT) == []


def test_haproxy_asks_again_in_a_pod_as_it_does_on_one_machine(overlay: Overlay) -> None:
    for group in overlay.groups:
        assert {name: group.env[name] for name in HAPROXY_RETRIES} == HAPROXY_RETRIES


@pytest.mark.parametrize(
    ("rule", "kind", "path", "value"), BREAKS, ids=[f"{b[0]}-{i}" for i, b in enumerate(BREAKS)]
)
def test_a_breach_is_found(prod: Overlay, rule: str, kind: str, path: str, value: Any) -> None:
    assert rule in found(edit(prod, kind, path, value))


def test_every_rule_has_a_breach() -> None:
    assert {rule for rule, *_ in BREAKS} | ELSEWHERE == set(NAMES)


def test_a_groups_own_timeout_needs_the_version(prod: Overlay) -> None:
    wrong = edit(prod, "RayService", f"{WORKER}/idleTimeoutSeconds", 600)
    assert found(wrong) == set()
    unsaid = edit(wrong, "RayService", f"{CLUSTER}/autoscalerOptions/version", None)
    assert found(unsaid) == {"v2_settings_name_their_version"}


def with_settings(overlay: Overlay, change: dict[str, Any], http: dict[str, Any]) -> Overlay:
    """The overlay with other settings of the application: `{"small.gpu_share": 0.3}`."""
    document = yaml.safe_load(overlay.rayservice["spec"]["serveConfigV2"])
    document["http_options"] |= http
    for path, value in change.items():
        target = document["applications"][0]["args"]
        *parents, last = path.split(".")
        for key in parents:
            target = target.setdefault(key, {})
        target[last] = value
    return edit(overlay, "RayService", "spec/serveConfigV2", yaml.safe_dump(document))


TARGET = {"name": "first", "base_url": "https://llm.example.com/v1", "model": "m"}


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"small.gpu_share": 0.3}, "config", "is not 1/k rounded down: use 0.3333"),
        ({"small.engine.path": "/weights/small"}, "models_are_mounted", "/weights/small"),
        ({"classifier.artifact": "/artefact"}, "models_are_mounted", "classifier.artifact"),
        ({"small.engine.path": "/models-old/a"}, "models_are_mounted", "/models-old/a"),
        (
            {"small.scaling.policy_kwargs": {"journal_path": "/var/a.jsonl"}},
            "journals_outlive_the_controller",
            "small.scaling.policy_kwargs.journal_path: /var/a.jsonl lies in no volume of the head",
        ),
        (
            {"large.scaling.policy_kwargs": {"journal_path": "/models/a.jsonl"}},
            "journals_outlive_the_controller",
            "/models/a.jsonl",
        ),
        (
            {"large.scaling.policy_kwargs": {}},
            "journals_outlive_the_controller",
            "is not set: run smallfirst k8s render",
        ),
        ({"large.engine.api_key_env": "OTHER_KEY"}, "secrets_reach_the_workers", "OTHER_KEY"),
        (
            {"large.targets": [{**TARGET, "api_key_env": "OTHER_KEY"}], "large.engine": None},
            "secrets_reach_the_workers",
            "OTHER_KEY",
        ),
        ({"small.scaling.max_replicas": 10}, "largest_application_fits", "5 GPUs"),
        ({"small.gpu_share": 0.3333}, "engines_keep_to_their_share", "0.467"),
        ({"accounts.store": "/tmp/a.db"}, "accounts_outlive_their_pod", "postgres_env"),
        ({"accounts.postgres_env": "DB_URL"}, "accounts_outlive_their_pod", "on_head"),
        ({"accounts.postgres_env": "DB_URL"}, "accounts_outlive_their_pod", "DB_URL is not set"),
        ({"small.num_cpus": 5}, "shares_fill_a_gpu", "10 cores"),
        ({"small.num_cpus": 9}, "one_replica_fits_one_pod", "9 cores"),
        ({"gateway.max_body_byte": 1}, "config", "gateway.max_body_byte"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_named(
    prod: Overlay, change: dict[str, Any], rule: str, words: str
) -> None:
    sentences = [
        f.sentence
        for f in findings(with_settings(prod, change, {}), RAY_ENVIRONMENT)
        if f.rule == rule
    ]
    assert any(words in sentence for sentence in sentences), sentences


@pytest.mark.parametrize(
    "variable", ["SMALLFIRST_API_KEYS_FILE", "SMALLFIRST_API_KEYS"], ids=["file", "list"]
)
@pytest.mark.parametrize("bare", [WORKER, SPOT], ids=["first", "second"])
def test_every_group_of_workers_needs_the_keys(prod: Overlay, bare: str, variable: str) -> None:
    """Which gateway asks for keys would else depend on where it runs."""
    for group in (WORKER, SPOT):
        path = f"{group}/template/spec/containers/0/env"
        given = [] if group == bare else [{"name": variable, "value": "x"}]
        prod = edit(prod, "RayService", path, given)
    name = prod.workers[int(bare[-1])].name
    said = [
        f.sentence
        for f in findings(prod, RAY_ENVIRONMENT)
        if f.rule == "secrets_reach_the_workers" and "no API keys" in f.sentence
    ]
    assert len(said) == 1 and f"group {name}: " in said[0]
    said = [f.sentence for f in findings(with_settings(prod, {"gateway.auth": "open"}, {}), {})]
    assert not any("no API keys" in sentence for sentence in said)


def test_a_proxy_on_loopback_is_found(prod: Overlay) -> None:
    assert "probes_ask_what_serves" in found(with_settings(prod, {}, {"host": "127.0.0.1"}))


# -- the chain of bounds around the longest request ----------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/rayClusterDeletionDelaySeconds", 604),
        (f"{POD}/terminationGracePeriodSeconds", 654),
        (f"{POD}/terminationGracePeriodSeconds", None),
        (f"{CONTAINER}/lifecycle", None),
        (f"{CONTAINER}/lifecycle/preStop", {"exec": {"command": ["ray", "stop"]}}),
        (f"{CONTAINER}/env/14", {"name": "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "value": "599"}),
        (f"{CONTAINER}/env/13", {"name": "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", "value": "120"}),
    ],
)
def test_a_bound_that_would_cut_a_request_is_found(prod: Overlay, path: str, value: Any) -> None:
    assert "requests_outlive_changes" in found(edit(prod, "RayService", path, value))


@pytest.mark.parametrize(
    ("change", "http", "cut"),
    [
        ({}, {"request_timeout_s": 599}, True),
        ({}, {"request_timeout_s": 600}, False),
        ({"gateway.max_request_s": 3600}, {}, True),
        ({"gateway.max_request_s": 60}, {}, False),
    ],
)
def test_the_chain_follows_the_settings(
    prod: Overlay, change: dict[str, Any], http: dict[str, Any], cut: bool
) -> None:
    broken = found(with_settings(prod, change, http))
    assert ("requests_outlive_changes" in broken) is cut


def test_a_node_is_not_given_back_before_its_replica(prod: Overlay) -> None:
    held = {"hold_down_s": 301, "journal_path": "/tmp/autoscale.jsonl"}
    wrong = with_settings(prod, {"small.scaling.policy_kwargs": held}, {})
    assert found(wrong) == {"idle_workers_outlast_the_policy"}
    mended = edit(wrong, "RayService", f"{CLUSTER}/autoscalerOptions/idleTimeoutSeconds", 301)
    assert found(mended) == set()


# -- what an upgrade needs -------------------------------------------------------------------------


def test_an_upgrade_in_place_needs_no_second_cluster(prod: Overlay) -> None:
    tight = edit(prod, "ResourceQuota", "spec/hard/requests.nvidia.com~gpu", "4")
    assert found(tight) == {"quota_holds_an_upgrade"}
    assert found(edit(tight, "RayService", UPGRADE, {"type": "None"})) == set()


def test_gpus_of_each_kind_are_counted() -> None:
    for name, gpus in (("prod-cloud", 1), ("prod-cloud+gpu-mig", 1), ("prod-cloud+gpu-mps", 1)):
        for group in rendered(name).workers:
            assert group.gpus == gpus, name
    assert all(group.gpus == 0 for group in rendered("dev-cpu").workers)
