"""What runs on a machine is what the config names, and what it leaves to us is said."""

from pathlib import Path
from typing import Any

import pytest

from deployments.commands.effective import Effective, Machine, effective_config
from deployments.settings.app import AppConfig, parse_app_config

KEPT = Path("/kept")


def on(cores: int = 8, gpus: bool = False, **args: Any) -> Effective:
    return effective_config(parse_app_config(args, "test"), Machine(cores, gpus, KEPT))


def vllm(path: str = "builtin:small", **more: Any) -> dict[str, Any]:
    return {"model": "m", "engine": {"kind": "vllm", "path": path}, **more}


def test_a_local_run_keeps_a_ledger_and_a_journal() -> None:
    config = on().config
    assert config.accounts.store == "/kept/accounts.sqlite"
    for tier in config.tiers.values():
        assert tier.scaling.policy_kwargs["journal_path"] == "/kept/autoscale.jsonl"


def test_what_the_config_names_stays() -> None:
    small = vllm(scaling={"policy_kwargs": {"journal_path": "j", "hold_down_s": 9}})
    config = on(accounts={"store": "l"}, small=small).config
    assert config.accounts.store == "l"
    assert config.small.scaling.policy_kwargs == {"journal_path": "j", "hold_down_s": 9}


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 2)])
def test_the_bundled_model_gets_the_replicas_that_the_cores_carry(cores: int, most: int) -> None:
    config, notes = on(cores)
    assert config.small.scaling.max_replicas == most
    assert notes == [f"small.scaling.max_replicas: {most}, by the {cores} cores of this machine"]


@pytest.mark.parametrize("named", [1, 2, 5])
def test_bounds_that_the_config_names_are_never_overridden(named: int) -> None:
    config, notes = on(2, small=vllm(scaling={"max_replicas": named}))
    assert config.small.scaling.max_replicas == named
    # But what they cost is said.
    assert len(notes) == (named > 1)
    assert all("as the config says, on 2 cores" in note for note in notes)


def test_a_least_count_that_the_config_names_is_a_bound_too() -> None:
    config, _ = on(2, small=vllm(scaling={"min_replicas": 1}))
    assert config.small.scaling.max_replicas == 1


def test_a_model_of_the_users_own_is_not_multiplied() -> None:
    config, notes = on(64, small=vllm("/models/mine"))
    assert (config.small.scaling.max_replicas, notes) == (1, [])


def test_on_a_gpu_machine_each_vllm_tier_holds_a_share() -> None:
    upstream = {"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "big"}
    price = {"usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 0}
    config, notes = on(gpus=True, large={"model": "big", "engine": upstream, **price})
    assert (config.small.gpu_share, config.large.gpu_share) == (0.25, 0)
    assert notes == ["small.gpu_share: 0.25 of a GPU, because the config names none"]


def test_a_share_that_the_config_names_stays() -> None:
    config, notes = on(gpus=True, small=vllm(gpu_share=0.5), large=vllm(gpu_share=1, model="n"))
    assert (config.small.gpu_share, config.large.gpu_share, notes) == (0.5, 1, [])


@pytest.mark.parametrize(("parallel", "share"), [(1, 0.25), (2, 1.0), (4, 1.0)])
def test_a_model_over_several_gpus_holds_them_whole(parallel: int, share: float) -> None:
    small = vllm()
    small["engine"]["tensor_parallel_size"] = parallel
    config, notes = on(gpus=True, small=small)
    assert config.small.gpu_share == share
    assert config.small.num_gpus == share * parallel
    assert notes[0] == f"small.gpu_share: {share:g} of a GPU, because the config names none"
    # What is filled in is what the config itself could say: nothing is deployed past its checks.
    assert AppConfig.model_validate_json(config.model_dump_json()) == config


def test_filling_in_twice_changes_nothing() -> None:
    machine = Machine(2, True, KEPT)
    once = effective_config(AppConfig(), machine)
    assert effective_config(once.config, machine) == Effective(once.config, [])
    stored = AppConfig.model_validate_json(once.config.model_dump_json())
    assert stored == once.config
