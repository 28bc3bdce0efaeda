"""The manifests pass what the API server, the KubeRay operator and a careful cluster would say.

Each rule is also shown a manifest that breaks it.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCHEMA = Path(__file__).parents[4] / "shared" / "schemas" / "rayservice-ray-v1.json"
Manifest = dict[str, Any]
Rule = Callable[[Manifest], Iterator[str]]


def test_rayservice_satisfies_the_strict_schema(rayservice: Manifest) -> None:
    if not SCHEMA.exists():
        pytest.skip("no ../shared/schemas beside the repository")
    schema = json.loads(SCHEMA.read_text())
    errors = jsonschema.Draft202012Validator(schema).iter_errors(rayservice)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_strict_schema_would_find_a_typing_mistake(rayservice: Manifest) -> None:
    if not SCHEMA.exists():
        pytest.skip("no ../shared/schemas beside the repository")
    wrong = copy.deepcopy(rayservice)
    wrong["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["contaners"] = []
    assert list(jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(wrong))


def cluster(service: Manifest) -> Manifest:
    config: Manifest = service["spec"]["rayClusterConfig"]
    return config


def groups(service: Manifest) -> list[Manifest]:
    return [cluster(service)["headGroupSpec"], *cluster(service)["workerGroupSpecs"]]


def pods(service: Manifest) -> list[Manifest]:
    return [group["template"]["spec"] for group in groups(service)]


# -- rules of the operator, which no schema holds (KubeRay 1.7, ray-operator utils/validation.go) -


def name_is_short_dns(service: Manifest) -> Iterator[str]:
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", service["metadata"]["name"]):
        yield "name"


def bounds_are_ordered(service: Manifest) -> Iterator[str]:
    for group in cluster(service)["workerGroupSpecs"]:
        if not 0 <= group["minReplicas"] <= group["maxReplicas"]:
            yield group["groupName"]


def replicas_are_left_to_the_autoscaler(service: Manifest) -> Iterator[str]:
    """A count in the manifest would fight the autoscaler on every apply."""
    yield from (g["groupName"] for g in cluster(service)["workerGroupSpecs"] if "replicas" in g)


def upgrade_is_known(service: Manifest) -> Iterator[str]:
    kinds = ("NewCluster", "None", "NewClusterWithIncrementalUpgrade")
    kind = service["spec"].get("upgradeStrategy", {}).get("type", "NewCluster")
    if kind not in kinds or "upgradeStrategy" in cluster(service):
        yield "upgradeStrategy"


def v2_settings_name_their_version(service: Manifest) -> Iterator[str]:
    options = cluster(service).get("autoscalerOptions", {})
    timed = any({"idleTimeoutSeconds", "priority"} & group.keys() for group in groups(service))
    if timed and options.get("version") != "v2":
        yield "autoscalerOptions.version"


def v2_restarts_nothing(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        if pod.get("restartPolicy", "Never") != "Never":
            yield "restartPolicy"


def ray_params_are_strings_without_labels(service: Manifest) -> Iterator[str]:
    for group in groups(service):
        for key, value in group["rayStartParams"].items():
            if key == "labels" or not isinstance(value, str):
                yield key


def deprecated_thresholds_are_gone(service: Manifest) -> Iterator[str]:
    yield from (key for key in service["spec"] if key.endswith("UnhealthySecondThreshold"))


def gated_fields_are_unused(service: Manifest) -> Iterator[str]:
    """Off by default in 1.7: the operator rejects the whole resource."""
    yield from {"networkPolicy", "tlsOptions"} & cluster(service).keys()


def head_takes_no_work(service: Manifest) -> Iterator[str]:
    params = groups(service)[0]["rayStartParams"]
    yield from (key for key in ("num-cpus", "num-gpus") if params.get(key) != "0")


# -- lints of the pods, which no schema holds either ----------------------------------------------


def mounts_have_volumes(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            names = {mount["name"] for mount in container["volumeMounts"]}
            yield from names - volumes


def requests_stay_within_limits(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        for container in pod["containers"]:
            resources = container["resources"]
            for key, asked in resources["requests"].items():
                if key not in resources["limits"] or amount(asked) > amount(
                    resources["limits"][key]
                ):
                    yield key
            extended = {key for key in resources["limits"] if "/" in key}
            yield from extended - resources["requests"].keys()


def amount(quantity: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(quantity)).groups()  # type: ignore[union-attr]  # a match, or the test fails here
    return float(number) * {"": 1.0, "m": 0.001, "Mi": 2.0**20, "Gi": 2.0**30}[unit]


def port_names_are_unique(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        names = [port["name"] for c in pod["containers"] for port in c.get("ports", ())]
        yield from {name for name in names if names.count(name) > 1 or len(name) > 15}


def images_are_versioned(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        for container in pod["containers"]:
            if not re.search(r":\d+\.\d+|@sha256:", container["image"]):
                yield container["image"]


def pods_are_restricted(service: Manifest) -> Iterator[str]:
    """Pod Security Standard `restricted`, and a root file system that cannot be written."""
    for pod in pods(service):
        if not pod["securityContext"]["runAsNonRoot"]:
            yield "runAsNonRoot"
        if pod["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault":
            yield "seccompProfile"
        for container in pod["containers"]:
            own = container["securityContext"]
            if own["allowPrivilegeEscalation"] or not own["readOnlyRootFilesystem"]:
                yield "container"
            if own["capabilities"] != {"drop": ["ALL"]}:
                yield "capabilities"


def home_and_tmp_can_be_written(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        scratch = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        for container in pod["containers"]:
            home = next(e["value"] for e in container["env"] if e["name"] == "HOME")
            mounts = {m["mountPath"] for m in container["volumeMounts"] if m["name"] in scratch}
            yield from {"/tmp", home} - mounts


def secrets_are_references(service: Manifest) -> Iterator[str]:
    for pod in pods(service):
        for container in pod["containers"]:
            for one in container["env"]:
                secret = re.search(r"KEY$|TOKEN|PASSWORD", one["name"])
                if secret and "valueFrom" not in one:
                    yield one["name"]


def edit(service: Manifest, path: str, value: Any) -> Manifest:
    """A copy of the manifest with one value set; `None` removes it."""
    changed = copy.deepcopy(service)
    *parents, last = path.split("/")
    target: Any = changed
    for key in parents:
        target = target[int(key)] if isinstance(target, list) else target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return changed


CLUSTER = "spec/rayClusterConfig"
HEAD = f"{CLUSTER}/headGroupSpec"
WORKER = f"{CLUSTER}/workerGroupSpecs/0"
CONTAINER = f"{WORKER}/template/spec/containers/0"
BREAKS: list[tuple[Rule, str, Any]] = [
    (name_is_short_dns, "metadata/name", "s" * 48),
    (bounds_are_ordered, f"{WORKER}/minReplicas", 99),
    (replicas_are_left_to_the_autoscaler, f"{WORKER}/replicas", 1),
    (upgrade_is_known, "spec/upgradeStrategy", {"type": "Rolling"}),
    (upgrade_is_known, f"{CLUSTER}/upgradeStrategy", {"type": "Recreate"}),
    (v2_settings_name_their_version, f"{WORKER}/idleTimeoutSeconds", 60),
    (v2_restarts_nothing, f"{WORKER}/template/spec/restartPolicy", "Always"),
    (ray_params_are_strings_without_labels, f"{WORKER}/rayStartParams", {"num-cpus": 4}),
    (ray_params_are_strings_without_labels, f"{WORKER}/rayStartParams", {"labels": "a=b"}),
    (deprecated_thresholds_are_gone, "spec/serviceUnhealthySecondThreshold", 900),
    (gated_fields_are_unused, f"{CLUSTER}/networkPolicy", {}),
    (head_takes_no_work, f"{HEAD}/rayStartParams", {"num-gpus": "0"}),
    (mounts_have_volumes, f"{CONTAINER}/volumeMounts", [{"name": "missing", "mountPath": "/x"}]),
    (requests_stay_within_limits, f"{CONTAINER}/resources/requests/memory", "100Gi"),
    (requests_stay_within_limits, f"{CONTAINER}/resources/requests/example.com~1gpu", "1"),
    (port_names_are_unique, f"{CONTAINER}/ports", [{"name": "a"}, {"name": "a"}]),
    (images_are_versioned, f"{CONTAINER}/image", "smallfirst:latest"),
    (images_are_versioned, f"{CONTAINER}/image", "smallfirst"),
    (pods_are_restricted, f"{CONTAINER}/securityContext/readOnlyRootFilesystem", False),
    (pods_are_restricted, f"{CONTAINER}/securityContext/capabilities", {"add": ["SYS_PTRACE"]}),
    (pods_are_restricted, f"{WORKER}/template/spec/securityContext/runAsNonRoot", False),
    (home_and_tmp_can_be_written, f"{CONTAINER}/volumeMounts", []),
    (secrets_are_references, f"{CONTAINER}/env", [{"name": "UPSTREAM_API_KEY", "value": "sk-1"}]),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in BREAKS))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_kept(rule: Rule, rayservice: Manifest) -> None:
    assert list(rule(rayservice)) == []


@pytest.mark.parametrize(("rule", "path", "value"), BREAKS, ids=lambda part: str(part)[:50])
def test_breach_is_found(rule: Rule, path: str, value: Any, rayservice: Manifest) -> None:
    wrong = edit(rayservice, path, value)
    if rule is v2_settings_name_their_version:
        wrong = edit(wrong, f"{CLUSTER}/autoscalerOptions/version", None)
    assert list(rule(wrong))


def test_worker_cannot_speak_to_the_api_server(objects: list[Manifest]) -> None:
    (account,) = [one for one in objects if one["kind"] == "ServiceAccount"]
    assert account["automountServiceAccountToken"] is False
    (service,) = [one for one in objects if one["kind"] == "RayService"]
    _, worker = pods(service)
    assert worker["serviceAccountName"] == account["metadata"]["name"]
    assert worker["automountServiceAccountToken"] is False


def test_gpu_worker_asks_for_a_gpu_and_the_cpu_worker_for_none(
    rayservice: Manifest, overlay: str
) -> None:
    _, worker = pods(rayservice)
    asked = worker["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
    assert asked == ("1" if overlay == "gpu" else None)
