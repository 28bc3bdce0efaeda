"""What a RayService deploys is what the application's own config says."""

from pathlib import Path
from typing import Any, get_args

import pydantic
import pytest
import yaml

from deployments.settings.app import (
    AppConfig,
    ClassifierConfig,
    GatewayConfig,
    TierConfig,
    parse_app_config,
)
from deployments.settings.config_mistake import ConfigError
from deployments.settings.vllm import VllmConfig
from k8s import generate

ROOT = Path(__file__).parents[3]
# Ray 2.60 itself uses what pydantic deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")


@pytest.fixture
def serve_schema() -> type[pydantic.BaseModel]:
    """What `serve deploy` accepts. Imported here, where the warnings of its import are expected."""
    from ray.serve.schema import ServeDeploySchema

    schema: type[pydantic.BaseModel] = ServeDeploySchema
    return schema


@pytest.fixture
def serve_config(rayservice: dict[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rayservice["spec"]["serveConfigV2"])
    return parsed


@pytest.fixture
def app(serve_config: dict[str, Any]) -> AppConfig:
    return parse_app_config(serve_config["applications"][0]["args"], "serveConfigV2")


def test_committed_file_is_what_the_generator_writes(overlay: str) -> None:
    file = generate.OVERLAYS / overlay / "serve-config.yaml"
    assert file.read_text() == generate.patch(overlay), "run python -m k8s.generate"


def test_application_and_proxy_are_those_of_make_serve(serve_config: dict[str, Any]) -> None:
    local = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    for document in (local, serve_config):
        del document["applications"][0]["args"]
        del document["http_options"]["host"]
    assert serve_config == local


def test_proxy_listens_beyond_its_pod(serve_config: dict[str, Any]) -> None:
    assert serve_config["http_options"]["host"] == "0.0.0.0"


def unknown_keys(value: Any, model: Any, path: str = "") -> list[str]:
    """Keys of `value` that `model` does not have: Ray's own schema silently accepts them."""
    if isinstance(value, list):
        (item,) = get_args(model) or (None,)
        return [
            key for i, one in enumerate(value) for key in unknown_keys(one, item, f"{path}[{i}]")
        ]
    if not isinstance(value, dict) or not isinstance(model, type):
        return []
    if not issubclass(model, pydantic.BaseModel):
        return []
    found = [f"{path}.{key}" for key in value.keys() - model.model_fields.keys()]
    for key in value.keys() & model.model_fields.keys():
        found += unknown_keys(value[key], model.model_fields[key].annotation, f"{path}.{key}")
    return found


def test_ray_knows_every_key(
    serve_config: dict[str, Any], serve_schema: type[pydantic.BaseModel]
) -> None:
    serve_schema.model_validate(serve_config)
    assert unknown_keys(serve_config, serve_schema) == []


def test_unknown_key_would_be_found(serve_schema: type[pydantic.BaseModel]) -> None:
    wrong = {"proxy_locationn": 1, "applications": [{"name": "a", "import_pth": "x"}]}
    assert sorted(unknown_keys(wrong, serve_schema)) == [
        ".applications[0].import_pth",
        ".proxy_locationn",
    ]


@pytest.fixture
def own_overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for overlays of the test's own, beside the real serve_config.yaml."""
    (tmp_path / "serve_config.yaml").write_text((ROOT / "serve_config.yaml").read_text())
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "OVERLAYS", tmp_path / "overlays")
    (tmp_path / "overlays" / "mine").mkdir(parents=True)
    return tmp_path / "overlays"


def test_mistake_in_the_settings_names_its_key(own_overlays: Path) -> None:
    (own_overlays / "mine" / "app.yaml").write_text("gateway: {max_body_byte: 3}")
    with pytest.raises(ConfigError, match="max_body_byte"):
        generate.patch("mine")


def test_check_fails_on_a_stale_file(own_overlays: Path) -> None:
    generate.main(check=False)
    generate.main(check=True)
    (own_overlays / "mine" / "serve-config.yaml").write_text("spec: {}")
    with pytest.raises(SystemExit) as stopped:
        generate.main(check=True)
    assert "mine/serve-config.yaml" in str(stopped.value.code)


# -- the pods fit the application -----------------------------------------------------------------


def pods(rayservice: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = rayservice["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_every_pod_has_the_environment_of_make_serve(rayservice: dict[str, Any]) -> None:
    from deployments.commands.ray_environment import RAY_ENVIRONMENT

    for pod in pods(rayservice):
        env = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        assert env.items() >= RAY_ENVIRONMENT.items()


def test_pod_outlives_the_longest_request(rayservice: dict[str, Any], app: AppConfig) -> None:
    _, worker = pods(rayservice)
    longest_s = max(
        [app.gateway.max_request_s, *(tier.drain_timeout_s for tier in app.tiers.values())]
    )
    assert worker["terminationGracePeriodSeconds"] > longest_s


def test_workers_readiness_is_the_proxys(
    rayservice: dict[str, Any], serve_config: dict[str, Any]
) -> None:
    _, worker = pods(rayservice)
    probe = worker["containers"][0]["readinessProbe"]["httpGet"]
    assert probe == {"path": "/-/healthz", "port": serve_config["http_options"]["port"]}


def parts(app: AppConfig) -> list[GatewayConfig | ClassifierConfig | TierConfig]:
    """Every deployment of the application."""
    return [app.gateway, app.classifier, app.small, app.large]


def test_smallest_application_fits_the_smallest_cluster(
    rayservice: dict[str, Any], app: AppConfig
) -> None:
    (group,) = rayservice["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    nodes = group["minReplicas"]
    cores = sum(max(part.scaling.min_replicas, 1) * part.num_cpus for part in parts(app))
    gpus = sum(tier.scaling.min_replicas * tier.num_gpus for tier in app.tiers.values())
    assert cores <= nodes * float(limits["cpu"])
    assert gpus <= nodes * float(limits.get("nvidia.com/gpu", 0))
    assert gpus == 0 or gpus == app.gpus


def test_largest_application_fits_the_largest_cluster(
    rayservice: dict[str, Any], app: AppConfig
) -> None:
    (group,) = rayservice["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    nodes = group["maxReplicas"]
    cores = sum(part.scaling.max_replicas * part.num_cpus for part in parts(app))
    gpus = sum(tier.scaling.max_replicas * tier.num_gpus for tier in app.tiers.values())
    assert cores <= nodes * float(limits["cpu"])
    assert gpus <= nodes * float(limits.get("nvidia.com/gpu", 0))


def test_model_folders_are_mounted_where_the_settings_look(
    rayservice: dict[str, Any], app: AppConfig
) -> None:
    _, worker = pods(rayservice)
    mounts = {mount["mountPath"] for mount in worker["containers"][0]["volumeMounts"]}
    for tier in app.tiers.values():
        if isinstance(tier.engine, VllmConfig) and tier.engine.path.startswith("/"):
            assert any(tier.engine.path.startswith(f"{mount}/") for mount in mounts)


def test_named_secrets_reach_the_workers(rayservice: dict[str, Any], app: AppConfig) -> None:
    _, worker = pods(rayservice)
    names = {one["name"] for one in worker["containers"][0]["env"]}
    for tier in app.tiers.values():
        key = getattr(tier.engine, "api_key_env", None)
        assert key is None or key in names
