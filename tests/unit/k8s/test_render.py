"""What a RayService deploys is what the application's own config says."""

from pathlib import Path
from typing import Any, get_args

import pydantic
import pytest
import yaml
from typer.testing import CliRunner

from autoscale.journal import DEFAULT_PATH
from autoscale.parameters import Parameters
from deployments.cli import app as command
from deployments.kubernetes.overlay import Overlay
from deployments.kubernetes.render import SERVE_CONFIG, serve_config_patch
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from tests.unit.k8s.conftest import K8S, OVERLAYS, ROOT, rendered
from tests.unit.models.published_configs import MISTRAL_7B

# Ray 2.60 itself uses what pydantic deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")
SERVE_FILE = ROOT / "serve_config.yaml"


@pytest.fixture
def serve_schema() -> type[pydantic.BaseModel]:
    """What `serve deploy` accepts. Imported here, where the warnings of its import are expected."""
    from ray.serve.schema import ServeDeploySchema

    schema: type[pydantic.BaseModel] = ServeDeploySchema
    return schema


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_committed_file_is_what_render_writes(name: str) -> None:
    folder = K8S / "overlays" / name
    written = (folder / SERVE_CONFIG).read_text()
    assert written == serve_config_patch(folder, SERVE_FILE), "run smallfirst k8s render"


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_the_policy_learns_is_kept_beside_its_controller(name: str) -> None:
    overlay = rendered(name)
    home = overlay.head.env["HOME"]
    mounts = {one["mountPath"]: one["name"] for one in overlay.head.container["volumeMounts"]}
    assert mounts[home] in {one["name"] for one in overlay.head.pod["volumes"]}
    for tier in overlay.app.tiers.values():
        kept = Parameters.from_kwargs(tier.scaling.policy_kwargs).journal_path
        assert kept.startswith("~/")


@pytest.mark.parametrize("name", OVERLAYS)
def test_application_and_proxy_are_those_of_make_serve(name: str) -> None:
    local = yaml.safe_load(SERVE_FILE.read_text())
    document = yaml.safe_load(rendered(name).rayservice["spec"]["serveConfigV2"])
    for one in (local, document):
        del one["applications"][0]["args"]
        del one["http_options"]["host"]
    assert document == local


def unknown_keys(value: Any, model: Any, path: str = "") -> list[str]:
    """Keys of `value` that `model` does not have: Ray's own schema silently accepts them."""
    if isinstance(value, list):
        (item,) = get_args(model) or (None,)
        return [
            key for i, one in enumerate(value) for key in unknown_keys(one, item, f"{path}[{i}]")
        ]
    models = [one for one in (model, *get_args(model)) if _is_model(one)]
    if not isinstance(value, dict) or not models:
        return []
    found = [f"{path}.{key}" for key in value.keys() - models[0].model_fields.keys()]
    for key in value.keys() & models[0].model_fields.keys():
        found += unknown_keys(value[key], models[0].model_fields[key].annotation, f"{path}.{key}")
    return found


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, pydantic.BaseModel)


def test_ray_knows_every_key(overlay: Overlay, serve_schema: type[pydantic.BaseModel]) -> None:
    serve_schema.model_validate(overlay.serve_config)
    assert unknown_keys(overlay.serve_config, serve_schema) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["proxy_locationn"], "EveryNode"),
        (["http_options", "prt"], 8000),
        (["logging_config", "enable_acces_log"], False),
        (["applications", 0, "import_pth"], "x"),
        (["applications", 0, "deployments"], [{"name": "a", "max_ongoing_request": 1}]),
        (["applications", 0, "deployments"], [{"name": "a", "autoscaling_config": {"mn": 1}}]),
    ],
)
def test_an_unknown_key_is_found(
    serve_schema: type[pydantic.BaseModel], path: list[Any], value: Any
) -> None:
    document = yaml.safe_load(rendered("prod-cloud").rayservice["spec"]["serveConfigV2"])
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    assert len(unknown_keys(document, serve_schema)) == 1


def test_the_import_path_resolves(overlay: Overlay) -> None:
    import importlib

    (application,) = overlay.serve_config["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("name", ["prod-cloud", "onprem-hipaa"])
def test_the_plan_is_the_planners(name: str, tmp_path: Path) -> None:
    """`plan.yaml` is what its own first lines print, for a published 7B config."""
    import json
    import shlex

    model = tmp_path / "small"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(MISTRAL_7B))
    text = (K8S / "overlays" / name / "plan.yaml").read_text()
    comment = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    words = shlex.split(comment.partition("smallfirst ")[2].partition(" > ")[0].replace("\\", ""))
    words[words.index("/models/small")] = str(model / "config.json")
    done = CliRunner().invoke(command, [*words, "--int4"])
    assert done.exit_code == 0, done.output
    made = yaml.safe_load(done.output)
    made["small"]["engine"]["path"] = "/models/small"
    assert yaml.safe_load(text) == made, "run the command at the head of plan.yaml"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An overlay of the test's own, somewhere else."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "app.yaml").write_text("gateway: {auth: open}\n")
    return folder


def rendering(*words: object) -> tuple[int, str]:
    # Settings are read from the project's root, wherever the tests run.
    done = CliRunner().invoke(
        command, ["k8s", "render", "--config", str(SERVE_FILE), *map(str, words)]
    )
    return done.exit_code, done.output


def test_render_writes_then_checks_then_notices(mine: Path) -> None:
    assert rendering(mine, "--check")[0] == 2
    assert rendering(mine)[0] == 0
    assert rendering(mine, "--check")[0] == 0
    (mine / "app.yaml").write_text("gateway: {auth: keys}\n")
    code, said = rendering(mine, "--check")
    assert code == 2 and "smallfirst k8s render" in said
    assert rendering(mine, "--json")[1] == f'{{"written": ["{mine / SERVE_CONFIG}"]}}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gateway: {max_body_byte: 3}", "max_body_byte"),
        ("small: {model: a, engine: {kind: simulated}, gpu_share: 0.4}", "use 0.5"),
        ("[1]", "must be a mapping"),
        ("a: [", "not valid YAML"),
        ("gpus: 1\ngpus: 2", "line 2: gpus stands there twice"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(mine: Path, text: str, words: str) -> None:
    (mine / "app.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        serve_config_patch(mine, SERVE_FILE)
    code, said = rendering(mine)
    assert code == 2 and words in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "small", "large"),
    [
        ("", DEFAULT_PATH, DEFAULT_PATH),
        (
            "small: {model: a, engine: {kind: simulated}, scaling: {max_replicas: 3}}",
            DEFAULT_PATH,
            DEFAULT_PATH,
        ),
        (
            "large: {model: a, engine: {kind: simulated}, scaling: {policy_kwargs: "
            "{journal_path: /mine/a.jsonl, shadow: true}}}",
            DEFAULT_PATH,
            "/mine/a.jsonl",
        ),
        (
            "small: {model: a, engine: {kind: simulated}, scaling: {policy_kwargs: "
            "{journal_path: ''}}}",
            "",
            DEFAULT_PATH,
        ),
    ],
    ids=["tiers left out", "a tier named", "a path of one's own", "none wanted"],
)
def test_render_fills_in_the_journal_and_nothing_else(
    mine: Path, text: str, small: str, large: str
) -> None:
    (mine / "app.yaml").write_text(f"gateway: {{auth: open}}\n{text}\n")
    written = AppConfig.model_validate(yaml.safe_load((mine / "app.yaml").read_text()))
    patch = yaml.safe_load(serve_config_patch(mine, SERVE_FILE))
    args = yaml.safe_load(patch["spec"]["serveConfigV2"])["applications"][0]["args"]
    made = AppConfig.model_validate(args)
    for tier, path in ((made.small, small), (made.large, large)):
        assert tier.scaling.policy_kwargs["journal_path"] == path
    for one in (written, made):
        for tier in one.tiers.values():
            tier.scaling.policy_kwargs.pop("journal_path", None)
    assert made == written


def test_an_overlay_without_settings_is_named(mine: Path) -> None:
    (mine / "app.yaml").unlink()
    assert "no app.yaml" in rendering(mine)[1]
