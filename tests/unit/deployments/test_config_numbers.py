"""A number in a config is one: finite, and no switch that YAML made of a word."""

import math
from typing import Any

import pytest

from deployments.settings.api_key import Limits
from deployments.settings.app import parse_app_config
from deployments.settings.config_mistake import ConfigError

SWITCHES: list[tuple[dict[str, Any], str]] = [
    ({"escalation": {"target_rate": True}}, "escalation: target_rate"),
    ({"accounts": {"usd": {"day": True}}}, "accounts.usd: day"),
    ({"gpus": False}, "gpus"),
    ({"small": {"scaling": {"max_replicas": True}}}, "small.scaling: max_replicas"),
    ({"small": {"engine": {"kind": "simulated", "seed": True}}}, "small.engine: seed"),
    ({"small": {"engine": {"kind": "vllm", "max_lora_rank": True}}}, "small.engine: max_lora_rank"),
    (
        {
            "large": {
                "engine": {"kind": "upstream", "base_url": "http://a/v1", "max_retries": False}
            }
        },
        "large.engine: max_retries",
    ),
    (
        {"small": {"usd_per_million_prompt_tokens": False}},
        "small: usd_per_million_prompt_tokens",
    ),
]


def whole(args: dict[str, Any]) -> dict[str, Any]:
    """The same with what a tier and an upstream must say."""
    for tier in (args[name] for name in ("small", "large") if name in args):
        tier |= {"model": "m", "engine": tier.get("engine") or {"kind": "simulated"}}
        if tier["engine"]["kind"] == "upstream":
            tier["engine"]["model"] = "m"
        if "usd_per_million_prompt_tokens" in tier:
            tier["usd_per_million_completion_tokens"] = 1
    return args


@pytest.mark.parametrize(("args", "key"), SWITCHES, ids=[key for _, key in SWITCHES])
def test_a_switch_is_no_number(args: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^file: {key} must not be true or false, .* no, on"):
        parse_app_config(whole(args), "file")


@pytest.mark.parametrize(
    "args",
    [
        {"gateway": {"max_request_s": math.inf}},
        {"gateway": {"session_ttl_s": math.inf}},
        {"classifier": {"timeout_s": math.inf}},
        {"small": {"stall_timeout_s": math.inf}},
        {"small": {"scaling": {"look_back_period_s": math.inf}}},
        {"accounts": {"usd": {"month": math.nan}}},
    ],
)
def test_a_number_that_no_note_of_a_run_can_hold_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"_s: .*finite number|usd.month: "):
        parse_app_config(whole(args), "file")


def test_a_key_has_no_switch_for_a_limit() -> None:
    with pytest.raises(ValueError, match="requests_per_minute must not be true"):
        Limits.model_validate({"requests_per_minute": True})


def test_a_switch_is_one_in_any_word() -> None:
    for said in (True, "yes", "on", 1):
        assert parse_app_config({"local_only": said}, "file").local_only
