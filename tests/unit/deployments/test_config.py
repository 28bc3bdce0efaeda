"""A wrong config is refused in one line that names the key and the mend."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import deployments.settings.app
from deployments.settings.app import AppConfig, TierConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.group import Strict

ROOT = Path(__file__).parents[3]
SIMULATED = {"kind": "simulated"}
LORA = {**SIMULATED, "max_loras": 2}


def tier(**settings: Any) -> dict[str, Any]:
    return {"model": "m", "engine": SIMULATED, **settings}


# args -> what the one line must say: the key, and how to mend it
MISTAKES: dict[str, tuple[Any, list[str]]] = {
    "unknown key": ({"thresold": 0.5}, ["thresold: unknown key", "spelling"]),
    "unknown key inside": (
        {"classifier": {"treshold": 1}},
        ["classifier.treshold: unknown key", "spelling"],
    ),
    "unknown engine key": (
        {"small": tier(engine={**SIMULATED, "fast": True})},
        ["small.engine.fast: unknown key"],
    ),
    "threshold above 1": (
        {"classifier": {"threshold": 1.01}},
        ["classifier.threshold", "less than or equal to 1"],
    ),
    "threshold below 0": (
        {"classifier": {"threshold": -0.01}},
        ["classifier.threshold", "greater than or equal to 0"],
    ),
    "threshold no number": ({"classifier": {"threshold": float("nan")}}, ["classifier.threshold"]),
    "threshold a word": ({"classifier": {"threshold": "high"}}, ["classifier.threshold", "number"]),
    "share not 1/k": (
        {"small": tier(gpu_share=0.3)},
        ["small", "gpu_share 0.3 ", "use 0.3333"],
    ),
    "seven of these are more than a GPU": (
        {"small": tier(gpu_share=0.1429)},
        ["gpu_share 0.1429 ", "use 0.1428"],
    ),
    "share above 1": ({"small": tier(gpu_share=1.5)}, ["small.gpu_share", "less than or equal"]),
    "shared GPU and tensor parallel": (
        {"small": tier(engine={"kind": "vllm", "tensor_parallel_size": 2}, gpu_share=0.5)},
        ["gpu_share must be 1", "tensor_parallel_size"],
    ),
    "too many replicas for the GPUs": (
        {"gpus": 1, "small": tier(gpu_share=0.5, scaling={"min_replicas": 3, "max_replicas": 3})},
        ["gpus:", "needs 1.5 GPUs", "has 1", "lower min_replicas or gpu_share"],
    ),
    "the same name twice": (
        {"small": tier(), "large": tier()},
        ["large.model equals small.model", "own name"],
    ),
    "a reserved name": ({"small": tier(model="auto")}, ["'auto' is reserved", "choose another"]),
    "no name": ({"small": tier(model="")}, ["small.model", "at least 1"]),
    "a name that fits no header": ({"small": tier(model="modèle")}, ["small.model", "pattern"]),
    "a name with a space": ({"small": tier(model="my model")}, ["small.model", "pattern"]),
    "an adapter's name that fits no header": (
        {"small": tier(engine=LORA, adapters={"法律-7b": {"path": "/a"}})},
        ["small.adapters.", "pattern"],
    ),
    "an adapter without a name": (
        {"small": tier(engine=LORA, adapters={"": {"path": "/a"}})},
        ["small.adapters.", "at least 1"],
    ),
    "a domain with a typing mistake": (
        {
            "small": tier(engine=LORA, adapters={"a": {"path": "/a", "domain": "legl"}}),
            "classifier": {"domains": {"legal": ["Is it legal?"]}},
        },
        ["adapter 'a'", "'legl' is not in classifier.domains", "add examples"],
    ),
    "a drain shorter than a request": (
        {"small": tier(drain_timeout_s=120)},
        ["small.drain_timeout_s 120", "gateway.max_request_s 600", "leave it out"],
    ),
    "a request longer than a drain": (
        {"small": tier(drain_timeout_s=900), "gateway": {"max_request_s": 1000}},
        ["small.drain_timeout_s 900", "lower max_request_s"],
    ),
    "unknown engine kind": ({"small": tier(engine={"kind": "tgi"})}, ["small.engine", "'vllm'"]),
    "no engine": ({"small": {"model": "m"}}, ["small.engine", "required"]),
    "minimum above maximum": (
        {"small": tier(scaling={"min_replicas": 3, "max_replicas": 2})},
        ["small.scaling", "raise max_replicas"],
    ),
    "unknown policy key": (
        {"small": tier(scaling={"policy_kwargs": {"hold_dwn_s": 1}})},
        ["small.scaling", "hold_dwn_s"],
    ),
    "policy value a word": (
        {"small": tier(scaling={"policy_kwargs": {"hold_down_s": "long"}})},
        ["small.scaling", "hold_down_s", "number"],
    ),
    "context of nothing": (
        {"small": tier(engine={"kind": "vllm", "max_model_len": 0})},
        ["small.engine.max_model_len", "greater than or equal to 16"],
    ),
    "several mistakes": (
        {"classifier": {"threshold": 2}, "gateway": {"max_body_bytes": 1}},
        ["(and 1 more)"],
    ),
    "no mapping": (["small"], ["dictionary"]),
}


@pytest.mark.parametrize(("args", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_the_key_and_the_mend(args: Any, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_app_config(args, "serve_config.yaml")
    message = str(caught.value)
    assert message.startswith("serve_config.yaml: ")
    assert "\n" not in message
    for words in says:
        assert words in message


@pytest.mark.parametrize("share", [0, 1, 0.5, 0.3333, 0.25, 0.2, 0.1666, 0.1428, 0.125])
def test_a_share_of_one_over_k_is_accepted(share: float) -> None:
    assert TierConfig.model_validate(tier(gpu_share=share)).gpu_share == share


@pytest.mark.parametrize(("replicas", "fits"), [(1, True), (2, True), (3, False)])
def test_the_replicas_that_start_must_fit_the_gpus(replicas: int, fits: bool) -> None:
    scaling = {"min_replicas": replicas, "max_replicas": 3}
    args = {"gpus": 1, "small": tier(gpu_share=0.5, scaling=scaling)}
    if fits:
        assert parse_app_config(args, "x").small.scaling.min_replicas == replicas
    else:
        with pytest.raises(ConfigError):
            parse_app_config(args, "x")


@pytest.mark.parametrize("threshold", [0, 1])
def test_the_ends_of_the_threshold_are_allowed(threshold: float) -> None:
    args = {"classifier": {"threshold": threshold}}
    assert parse_app_config(args, "x").classifier.threshold == threshold


@pytest.mark.parametrize(
    ("settings", "slots"),
    [
        ({"engine": {**SIMULATED, "max_num_seqs": 4}, "max_ongoing_requests": 8}, 4),
        ({"engine": {**SIMULATED, "max_num_seqs": 8}, "max_ongoing_requests": 4}, 4),
        (
            {
                "engine": {
                    "kind": "upstream",
                    "base_url": "https://llm.example.com/v1",
                    "model": "m",
                },
                "max_ongoing_requests": 7,
            },
            7,
        ),
    ],
)
def test_a_replica_has_as_many_slots_as_its_batch_and_its_door_allow(
    settings: dict[str, Any], slots: int
) -> None:
    assert TierConfig.model_validate(tier(**settings)).slots == slots


@pytest.mark.parametrize(
    ("engine", "remote"),
    [
        (SIMULATED, False),
        ({"kind": "vllm"}, False),
        ({"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "m"}, True),
        (
            {
                "kind": "upstream",
                "base_url": "http://vllm.models.svc:8000/v1",
                "model": "m",
                "in_cluster": True,
            },
            False,
        ),
    ],
)
def test_a_tier_is_remote_where_its_requests_leave_the_cluster(engine: Any, remote: bool) -> None:
    assert TierConfig.model_validate(tier(engine=engine)).remote is remote


UPSTREAM = {"kind": "upstream", "base_url": "https://x.example/v1", "model": "m"}


@pytest.mark.parametrize(
    ("engine", "speaks"),
    [
        ({"kind": "vllm"}, True),
        ({"kind": "simulated"}, True),
        (UPSTREAM, False),
        ({**UPSTREAM, "speaks": "openai"}, False),
        ({**UPSTREAM, "speaks": "vllm"}, True),
    ],
)
def test_an_engine_knows_vllms_fields_by_its_kind(engine: Any, speaks: bool) -> None:
    config = TierConfig.model_validate({"model": "m", "engine": engine, "capabilities": ["tools"]})
    assert config.abilities == ({"tools", "vllm"} if speaks else {"tools"})


@pytest.mark.parametrize("engine", [{"kind": "vllm"}, {"kind": "simulated"}, UPSTREAM])
def test_a_tier_fetches_images_from_nowhere_unless_hosts_are_named(engine: Any) -> None:
    config = TierConfig.model_validate({"model": "m", "engine": engine})
    assert config.media_hosts == set()
    if engine["kind"] != "simulated":
        engine = {**engine, "allowed_media_domains": ["a.example"]}
        config = TierConfig.model_validate({"model": "m", "engine": engine})
        assert config.media_hosts == {"a.example"}


@pytest.mark.parametrize(("share", "parallel", "gpus"), [(0, 1, 0), (0.25, 1, 0.25), (1, 4, 4)])
def test_a_replica_reserves_its_share_of_each_gpu_it_spans(
    share: float, parallel: int, gpus: float
) -> None:
    engine = {"kind": "vllm", "tensor_parallel_size": parallel}
    assert TierConfig.model_validate(tier(engine=engine, gpu_share=share)).num_gpus == gpus


def groups(
    model: type[BaseModel], seen: dict[type[BaseModel], None]
) -> dict[type[BaseModel], None]:
    """Every group of settings under this one, in the order of the fields."""
    if model not in seen:
        seen[model] = None
        for field in model.model_fields.values():
            for nested in _models(field.annotation):
                groups(nested, seen)
    return seen


def _models(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models(part)]


FIELDS = [
    (group, name)
    for group in sorted(groups(AppConfig, {}), key=lambda cls: cls.__name__)
    for name in group.model_fields
]


@pytest.mark.parametrize(
    ("group", "name"), FIELDS, ids=[f"{group.__name__}.{name}" for group, name in FIELDS]
)
def test_every_setting_is_explained(group: type[BaseModel], name: str) -> None:
    # `kind` only tells the engines apart.
    assert name == "kind" or group.model_fields[name].description


@pytest.mark.parametrize("group", groups(AppConfig, {}), ids=lambda cls: cls.__name__)
def test_every_group_is_frozen_and_refuses_unknown_keys(group: type[BaseModel]) -> None:
    assert group.model_config["frozen"] is True
    assert group.model_config["extra"] == "forbid"
    assert issubclass(group, Strict)


def test_the_walk_over_the_settings_misses_no_class_of_the_module() -> None:
    source = ast.parse(inspect.getsource(deployments.settings.app))
    classes = {node.name for node in source.body if isinstance(node, ast.ClassDef)}
    assert classes - {"Settings"} <= {group.__name__ for group in groups(AppConfig, {})}
