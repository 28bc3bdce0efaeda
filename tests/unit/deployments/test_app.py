"""What Serve is told about each deployment follows from the config."""

import json
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import yaml
from ray.serve._private.build_app import build_app
from ray.serve._private.config import DeploymentConfig

from deployments.app import build, plain_policy, tier_deployment, tier_options
from deployments.commands.surge import restarted_tiers
from deployments.settings.app import AppConfig, TierConfig
from deployments.settings.release import beside_others, digest_of
from deployments.settings.vllm import VllmConfig

# Ray 2.60 announces that the metrics interval will move to the environment, where we set it too.
pytestmark = pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")


def options(**settings: Any) -> dict[str, Any]:
    tier = {"model": "m", "engine": {"kind": "simulated"}, **settings}
    return tier_options(TierConfig.model_validate(tier), 600)


@pytest.mark.parametrize(
    ("settings", "actor"),
    [
        ({}, {"num_cpus": 0.5}),
        ({"num_cpus": 2}, {"num_cpus": 2.0}),
        ({"gpu_share": 0.25}, {"num_cpus": 0.5, "num_gpus": 0.25}),
    ],
)
def test_a_replica_names_its_resources(settings: Any, actor: dict[str, float]) -> None:
    # Ray's default of one CPU each would not start four deployments on two cores.
    told = options(**settings)["ray_actor_options"]
    assert {name: told[name] for name in actor} == actor
    assert ("num_gpus" in told) is ("num_gpus" in actor)


def test_the_queue_is_bounded_where_the_autoscaler_sees_it() -> None:
    told = options(max_ongoing_requests=8, max_queued_requests=40)
    assert (told["max_ongoing_requests"], told["max_queued_requests"]) == (8, 40)


@pytest.mark.parametrize(("share", "per_gpu"), [(0, 1), (1, 1), (0.5, 2), (0.3333, 3)])
def test_the_policy_knows_slots_and_packing(share: float, per_gpu: int) -> None:
    engine = {"kind": "simulated", "max_num_seqs": 4}
    told = options(engine=engine, gpu_share=share)["autoscaling_config"].policy.policy_kwargs
    assert (told["slots_per_replica"], told["replicas_per_gpu"]) == (4, per_gpu)


def test_an_operators_setting_beats_what_follows_from_the_config() -> None:
    scaling = {"policy_kwargs": {"slots_per_replica": 3, "hold_down_s": 9.0}}
    told = options(scaling=scaling)["autoscaling_config"].policy.policy_kwargs
    assert (told["slots_per_replica"], told["hold_down_s"]) == (3, 9.0)


@pytest.mark.parametrize(("least", "first"), [(0, 1), (1, 1), (3, 3)])
def test_ray_starts_with_a_replica_and_adds_no_delay_of_its_own(least: int, first: int) -> None:
    told = options(scaling={"min_replicas": least, "max_replicas": 4})["autoscaling_config"]
    assert (told.min_replicas, told.max_replicas, told.initial_replicas) == (least, 4, first)
    assert (told.upscale_delay_s, told.downscale_delay_s) == (0.0, 0.0)


def test_a_deployment_without_an_engine_is_not_waited_on_for_engine_counts() -> None:
    assert plain_policy(64)["require_engine_metrics"] is False
    assert plain_policy(64)["slots_per_replica"] == 64


@pytest.mark.parametrize(
    ("share", "extra", "told"),
    [
        (0.5, {}, {"gpu-memory-utilization": 0.25}),
        (0.3333, {}, {"gpu-memory-utilization": 0.1666}),
        (0.5, {"seed": 1}, {"seed": 1, "gpu-memory-utilization": 0.25}),
        (0.5, {"gpu-memory-utilization": 0.4}, {"gpu-memory-utilization": 0.4}),
        (0.5, {"gpu_memory_utilization": 0.4}, {"gpu_memory_utilization": 0.4}),
        (1, {}, {}),
        (0, {}, {}),
    ],
)
def test_an_engine_on_a_part_of_a_gpu_asks_for_no_more_than_its_part(
    share: float, extra: dict[str, Any], told: dict[str, Any]
) -> None:
    """vLLM's default of 0.92 of the whole GPU refuses every replica but the first."""
    engine = {"kind": "vllm", "path": "/m", "extra_args": extra}
    tier = TierConfig.model_validate({"model": "m", "engine": engine, "gpu_share": share})
    shared = beside_others(tier)
    assert isinstance(shared.engine, VllmConfig)
    assert shared.engine.extra_args == told


@pytest.mark.parametrize("overlay", ["prod-cloud", "onprem-hipaa"])
def test_every_tier_of_a_gpu_overlay_can_start_beside_itself(overlay: str) -> None:
    path = Path(__file__).parents[3] / "k8s" / "overlays" / overlay / "serve-config.yaml"
    rendered = yaml.safe_load(path.read_text())["spec"]["serveConfigV2"]
    served = yaml.safe_load(rendered)
    config = AppConfig.model_validate(served["applications"][0]["args"])
    small = beside_others(config.small)
    assert isinstance(small.engine, VllmConfig)
    utilization = small.engine.extra_args["gpu-memory-utilization"]
    # What the planner leaves of a card for the contexts of all replicas: a sixteenth at least.
    assert 0 < utilization <= config.small.gpu_share * 15 / 16


def versions(config: AppConfig) -> dict[str, str]:
    """The version of every deployment that a config builds, as Serve's controller gets it from
    whoever deploys: with the hash of a whole file, or a number at random."""
    found = {}
    for deployment in build_app(build(config), name="smallfirst").deployments:
        told = deployment._deployment_config
        told.version = token_hex(4)
        got = DeploymentConfig.from_proto_bytes(told.to_proto_bytes())
        found[deployment.name] = str(got.version)
    return found


def changed(config: AppConfig, old: AppConfig) -> set[str]:
    """The deployments whose replicas a deploy would replace."""
    new, before = versions(config), versions(old)
    return {name for name in new if new[name] != before[name]}


SIMULATED = {"kind": "simulated", "max_loras": 2}
LAW = {"domains": {"law": ["Is it legal?"]}}
BEFORE = {
    "small": {"model": "a", "engine": SIMULATED},
    "classifier": LAW,
    "accounts": {"store": "/accounts"},
}
FREE = {"usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 0}


@pytest.mark.parametrize(
    ("settings", "replaced"),
    [
        ({}, []),
        ({"small": {"model": "newer"}}, ["SmallTier"]),
        ({"small": {"engine": {**SIMULATED, "seed": 7}}}, ["SmallTier"]),
        ({"classifier": {"domains": {"tax": ["What do I owe?"]}}}, ["Classifier"]),
        ({"gateway": {"ledger_dir": "/ledger"}}, ["Gateway"]),
        ({"gateway": {"cors_origins": ["https://a.example"]}}, ["Gateway"]),
        ({"accounts": {"admin": False}}, ["Gateway"]),
        ({"accounts": {"store": "/elsewhere"}}, ["Accounts", "Gateway"]),
    ],
    ids=str,
)
def test_only_what_reads_a_setting_at_its_start_restarts(
    settings: dict[str, Any], replaced: list[str]
) -> None:
    old = AppConfig.model_validate(BEFORE)
    assert sorted(changed(old.changed(settings), old)) == replaced


@pytest.mark.parametrize(
    "settings",
    [
        {"small": {"usd_per_million_prompt_tokens": 1, "usd_per_million_completion_tokens": 1}},
        {"small": {"capabilities": ["vision", "tools", "logprobs"]}},
        {"small": {"scaling": {"max_replicas": 3}}},
        {"small": {"scaling": {"policy_kwargs": {"journal_path": "/journal/a.jsonl"}}}},
        {"small": {"stall_timeout_s": 5}},
        {"small": {"stand_in": True}},
        {"small": {"adapters": {"legal": {"path": "/l", "domain": "law"}}}},
        {"classifier": {"threshold": 0.5, "timeout_s": 2}},
        {"escalation": {"target_rate": 0.1, "burst": 5}},
        {"gateway": {"max_request_s": 60, "session_ttl_s": 60, "max_body_bytes": 2048}},
        {"gateway": {"scaling": {"max_replicas": 3}}},
        {"accounts": {"ledger_days": 30, "usd_per_cpu_hour": 0.1}},
        {"accounts": {"usd": {"day": 5}}, "small": FREE, "large": FREE},
        {"local_only": True},
    ],
    ids=str,
)
def test_everything_else_changes_in_place(settings: dict[str, Any]) -> None:
    old = AppConfig.model_validate(BEFORE)
    new = old.changed(settings)
    assert new != old and changed(new, old) == set()


def user_config(config: AppConfig, deployment: str) -> Any:
    built = build_app(build(config), name="smallfirst")
    (found,) = [d for d in built.deployments if d.name == deployment]
    return found.user_config


def test_the_gateways_are_told_all_settings_as_json_has_them() -> None:
    config = AppConfig.model_validate(BEFORE).changed({"classifier": {"threshold": 0.5}})
    told = user_config(config, "Gateway")
    assert json.loads(json.dumps(told)) == told
    assert AppConfig().changed(told) == config
    # A part will do, as under `deployments` in a config file: the rest stays as it was.
    assert AppConfig.model_validate(BEFORE).changed({"classifier": {"threshold": 0.5}}) == config


def test_a_tier_is_told_what_its_replicas_change_in_place() -> None:
    small = {"adapters": {"legal": {"path": "/l"}}, "stall_timeout_s": 5}
    config = AppConfig.model_validate(BEFORE).changed({"small": small})
    told = user_config(config, "SmallTier")
    assert told == {"adapters": {"legal": "/l"}, "stall_timeout_s": 5}


@pytest.mark.parametrize(("given", "drains_s"), [(None, 600), (700, 700)])
def test_a_replica_may_drain_for_as_long_as_a_request_may_take(
    given: float | None, drains_s: float
) -> None:
    config = AppConfig.model_validate(BEFORE).changed({"small": {"drain_timeout_s": given}})
    built = build_app(build(config), name="smallfirst")
    drains = {d.name: d._deployment_config.graceful_shutdown_timeout_s for d in built.deployments}
    assert (drains["SmallTier"], drains["Escalation"], drains["Gateway"]) == (drains_s, 600, 600)


def test_a_version_is_the_same_in_every_process() -> None:
    # Sets have another order in each; a swap is deployed from another process than the first.
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    assert digest_of({"b": 1, "a": frozenset(letters)}) == digest_of({"a": letters, "b": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


UPSTREAM = {"base_url": "http://llm.example.com/v1", "model": "m"}
INSIDE = {**UPSTREAM, "base_url": "http://vllm.svc/v1", "in_cluster": True}


@pytest.mark.parametrize(
    ("engine", "asks"),
    [
        ({"kind": "upstream", **UPSTREAM}, True),
        ({"kind": "upstream", **INSIDE}, True),
        ({"kind": "targets", "targets": [{"name": "a", **UPSTREAM}]}, True),
        (
            {"kind": "targets", "targets": [{"name": "a", **INSIDE}, {"name": "b", **UPSTREAM}]},
            True,
        ),
        ({"kind": "targets", "targets": [{"name": "a", **INSIDE}]}, True),
        ({"kind": "simulated"}, False),
        ({"kind": "vllm", "path": "/models/big"}, False),
    ],
    ids=str,
)
def test_every_engine_that_asks_upstreams_is_bound_to_the_policy(engine: Any, asks: bool) -> None:
    config = AppConfig.model_validate(
        {
            "large": {"model": "big", "engine": engine},
            "privacy": {"patterns": {"mrn": r"MRN \d{7}"}},
        }
    )
    _, _, privacy = tier_deployment("large", config)._bound_deployment.init_args
    assert privacy == (config.privacy if asks else None)
    other = config.changed({"privacy": {"patterns": {"mrn": r"MRN \d{8}"}}})
    assert (versions(config)["Escalation"] != versions(other)["Escalation"]) == asks
    assert restarted_tiers(config, other) == (["large"] if asks else [])
