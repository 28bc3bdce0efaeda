"""What the API server and the operators' own schemas say, strictly: unknown keys are mistakes."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deployments.kubernetes.overlay import Overlay
from tests.unit.k8s.conftest import COMPONENTS, K8S, OVERLAYS, edit, kustomize, rendered

SCHEMAS = Path(__file__).parents[4] / "shared" / "schemas"
CUSTOM = {
    "RayService": "rayservice-ray-v1.json",
    "PodMonitor": "podmonitor-monitoring-v1.json",
    "PrometheusRule": "prometheusrule-monitoring-v1.json",
}
KUBERNETES = "1.35"
needs_schemas = pytest.mark.skipif(
    not SCHEMAS.exists(), reason="no ../shared/schemas beside the repository"
)


def strict_errors(one: dict[str, Any]) -> list[str]:
    schema = json.loads((SCHEMAS / CUSTOM[one["kind"]]).read_text())
    errors = jsonschema.Draft202012Validator(schema).iter_errors(one)
    return [f"{error.json_path}: {error.message}" for error in errors]


@needs_schemas
def test_custom_resources_satisfy_the_strict_schemas(overlay: Overlay) -> None:
    for kind in CUSTOM:
        for one in overlay.of_kind(kind):
            assert strict_errors(one) == []


@needs_schemas
@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayService", "spec/rayClusterConfig/headGroupSpec/template/spec/contaners", []),
        ("RayService", "spec/rayClusterConfig/headGroupSpec/rayStartParams/num-cpus", 0),
        ("RayService", "spec/upgradeStrategie", {}),
        ("PodMonitor", "spec/podMetricsEndpoint", []),
        ("PrometheusRule", "spec/groups", [{"name": "a", "rules": [{"alrt": "A"}]}]),
    ],
)
def test_a_typing_mistake_in_a_custom_resource_is_found(
    prod: Overlay, kind: str, path: str, value: Any
) -> None:
    assert strict_errors(edit(prod, kind, path, value).of_kind(kind)[0])


def native_errors(one: dict[str, Any]) -> str:
    import kubernetes_validate

    try:
        kubernetes_validate.validate(copy.deepcopy(one), KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


def natives(overlay: Overlay) -> list[dict[str, Any]]:
    """Kubernetes' own objects, and the pods that the operator makes of the RayService."""
    made = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": group.pod}
        for group in overlay.groups
    ]
    return [one for one in overlay.objects if one["kind"] not in CUSTOM] + made


def test_native_objects_satisfy_the_strict_schemas(overlay: Overlay) -> None:
    for one in natives(overlay):
        assert native_errors(one) == "", one["kind"]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("NetworkPolicy", "spec/policyType", ["Ingress"]),
        ("PodDisruptionBudget", "spec/minAvailble", 1),
        ("StatefulSet", "spec/replicas", "one"),
        ("ServiceAccount", "automountToken", False),
    ],
)
def test_a_typing_mistake_in_a_native_object_is_found(
    prod: Overlay, kind: str, path: str, value: Any
) -> None:
    assert native_errors(edit(prod, kind, path, value).of_kind(kind)[0])


def test_a_typing_mistake_in_a_pod_is_found(prod: Overlay) -> None:
    head = "spec/rayClusterConfig/headGroupSpec/template/spec/containers/0/imag"
    wrong = edit(prod, "RayService", head, "a")
    assert any(native_errors(one) for one in natives(wrong))


def test_every_object_has_its_namespace(overlay: Overlay) -> None:
    for one in overlay.objects:
        if one["kind"] != "Namespace":
            assert one["metadata"].get("namespace") == "smallfirst", one["metadata"]["name"]


def test_the_namespace_enforces_restricted(overlay: Overlay) -> None:
    (namespace,) = overlay.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_everything_of_the_issue_is_there() -> None:
    assert OVERLAYS == ["dev-cpu", "onprem-hipaa", "prod-cloud"]
    assert len(COMPONENTS) == 11


def test_a_wrong_index_fails_the_build(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(K8S, tmp_path / "k8s")
    base = tmp_path / "k8s" / "base" / "rayservice.yaml"
    base.write_text(base.read_text().replace("groupName: workers", "groupName: others"))
    done = kustomize(tmp_path / "k8s" / "overlays" / "prod-cloud")
    assert done.returncode != 0
    assert "workerGroupSpecs/0/groupName" in done.stderr


def test_no_generated_name_reaches_a_pod(overlay: Overlay) -> None:
    # A hash in a pod template would start a new cluster, and want its GPUs twice, on every edit.
    for one in overlay.of_kind("ConfigMap"):
        assert one["metadata"]["name"] not in json.dumps(overlay.rayservice)


def test_both_groups_of_workers_mount_the_weights() -> None:
    for name in ("prod-cloud+weights-init", "prod-cloud"):
        for group in rendered(name).workers:
            assert "/models" in {m["mountPath"] for m in group.container["volumeMounts"]}
