"""Every exception in a `quantization_config` is counted or refused, and none is a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from tests.unit.models.published_configs import (
    DEEPSEEK_V2_LITE,
    GEMMA_3_4B,
    MISTRAL_7B,
    QWEN3_30B_A3B,
)

ATTENTION = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024)
MLP = 32 * 3 * 4096 * 14336
DOWN = MLP // 3
REST = 2 * (2 * 32768 * 4096 + 32 * 2 * 4096 + 4096)
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
AUTO_ROUND = {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True}


def four(weights: int, group: int = 128, bits: int = 20) -> int:
    return weights // 2 + weights // group * bits // 8


def eight(weights: int, group: int = 128, bits: int = 24) -> int:
    return weights + weights // group * bits // 8


def group(bits: int, *targets: str, symmetric: bool = True) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int", "group_size": 128, "symmetric": symmetric}
    return {"targets": list(targets), "weights": weights}


def compressed(*groups: dict[str, Any], ignore: tuple[str, ...] = ("lm_head",)) -> dict[str, Any]:
    numbered = {f"group_{number}": each for number, each in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "config_groups": numbered, "ignore": ignore}


def size(tmp_path: Path, quantization: Any, model: dict[str, Any] = MISTRAL_7B) -> int:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(model | {"quantization_config": quantization}))
    return read_checkpoint(path).weights_bytes


COUNTED = {
    "8-bit MLP": (
        GPTQ | {"dynamic": {r"+:.*\.mlp\..*": {"bits": 8}}},
        four(ATTENTION) + eight(MLP),
    ),
    "without a sign": (
        GPTQ | {"dynamic": {r".*\.mlp\..*": {"bits": 8, "group_size": 64}}},
        four(ATTENTION) + eight(MLP, 64),
    ),
    "attention left alone": (
        GPTQ | {"dynamic": {r"-:.*\.self_attn\..*": {}}},
        2 * ATTENTION + four(MLP),
    ),
    "the first rule that fits": (
        GPTQ | {"dynamic": {r"-:.*down.*": {}, r"+:.*\.mlp\..*": {"bits": 8}}},
        four(ATTENTION) + 2 * DOWN + eight(MLP - DOWN),
    ),
    "matched from the start": (  # `re.match`, not `re.search`
        GPTQ | {"dynamic": {r"+:model\.layers\.[0-7]\..*": {"bits": 8}}},
        (four(ATTENTION + MLP) * 3 + eight(ATTENTION + MLP)) // 4,
    ),
    "some modules only": (
        GPTQ | {"modules_in_block_to_quantize": [["self_attn.q_proj", "self_attn.k_proj",
                "self_attn.v_proj"], ["self_attn.o_proj"]]},
        four(ATTENTION) + 2 * MLP,
    ),
    "awq parts": (AWQ | {"modules_to_not_convert": ["mlp.down_proj", "lm_head"]},
                  four(ATTENTION + MLP - DOWN) + 2 * DOWN),
    "awq layer": (AWQ | {"modules_to_not_convert": ["layers.31."]},
                  four(ATTENTION + MLP) // 32 * 31 + (ATTENTION + MLP) // 16),
    "awq without zero points": (AWQ | {"zero_point": False}, four(ATTENTION + MLP, 128, 16)),
    "two groups": (
        compressed(group(8, "re:.*self_attn.*"), group(4, "Linear")),
        eight(ATTENTION, 128, 16) + four(MLP, 128, 16),
    ),
    "a name goes before its class": (
        compressed(group(4, "Linear"), group(8, "re:.*down_proj$")),
        four(ATTENTION + MLP - DOWN, 128, 16) + eight(DOWN, 128, 16),
    ),
    "ignored": (
        compressed(group(4, "Linear", symmetric=False), ignore=("lm_head", r"re:.*down_proj$")),
        four(ATTENTION + MLP - DOWN) + 2 * DOWN,
    ),
    "ignored by name": (
        compressed(group(4, "Linear"), ignore=("model.layers.3.mlp.down_proj",)),
        four(ATTENTION + MLP - DOWN // 32, 128, 16) + 2 * DOWN // 32,
    ),
    "named targets only": (
        compressed(group(4, "re:.*self_attn.*")),
        four(ATTENTION, 128, 16) + 2 * MLP,
    ),
    "fp8": ({"quant_method": "fp8", "activation_scheme": "dynamic"}, ATTENTION + MLP),
    "fp8 by block": (
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        ATTENTION + MLP + (ATTENTION + MLP) // (128 * 128) * 4,
    ),
    "fp8 with a layer apart": (
        {"quant_method": "fp8", "ignored_layers": ["model.layers.0.mlp.down_proj"]},
        ATTENTION + MLP + DOWN // 32,
    ),
    "auto-round": (AUTO_ROUND, four(ATTENTION + MLP)),
    "auto-round layers": (
        AUTO_ROUND | {"extra_config": {r".*down_proj": {"bits": 8},
                      "model.layers.0.self_attn.o_proj": {"bits": 16}}},
        four(ATTENTION + MLP - DOWN - 4096 * 4096) + eight(DOWN) + 2 * 4096 * 4096,
    ),
    "auto-round by block": (
        AUTO_ROUND | {"block_name_to_quantize": "model.layers.1.,model.layers.2."},
        four(ATTENTION + MLP) // 16 + (ATTENTION + MLP) // 16 * 30,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("quantization", "linear"), COUNTED.values(), ids=COUNTED)
def test_layers_apart_are_counted(
    tmp_path: Path, quantization: dict[str, Any], linear: int
) -> None:
    assert size(tmp_path, quantization) == linear + REST


def test_experts_apart_are_counted(tmp_path: Path) -> None:
    experts = 48 * 128 * 3 * 2048 * 768
    attention = 48 * (2 * 2048 * 4096 + 2 * 2048 * 512)
    plain = size(tmp_path, None, QWEN3_30B_A3B)
    rule = GPTQ | {"dynamic": {r"-:.*self_attn.*": {}, r"-:.*mlp\.gate$": {}}}
    assert size(tmp_path, rule, QWEN3_30B_A3B) == plain - 2 * experts + four(experts)
    skipped = compressed(group(4, "Linear"), ignore=("re:.*mlp.experts.*", "re:.*mlp.gate$"))
    expected = plain - 2 * attention + four(attention, 128, 16)
    assert size(tmp_path, skipped, QWEN3_30B_A3B) == expected


def test_the_text_model_s_own_quantisation_counts(tmp_path: Path) -> None:
    """vLLM reads it from there, and from `compression_config`."""
    config = MISTRAL_7B | {"compression_config": compressed(group(4, "Linear"))}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert read_checkpoint(path).weights_bytes == four(ATTENTION + MLP, 128, 16) + REST
    text = GEMMA_3_4B["text_config"] | {"quantization_config": GPTQ}
    assert size(tmp_path, None, GEMMA_3_4B | {"text_config": text}) < 2 * 4_300_079_472


REFUSED = {
    "half of a fused matrix": (GPTQ | {"dynamic": {"+:.*up_proj.*": {"bits": 8}}}, "holds as one"),
    "a rule vLLM does not see": (
        GPTQ | {"dynamic": {r"+:.*\.(?:gate|up|down)_proj.*": {"bits": 8}}}, "holds as one"),
    "awq, one of three": (AWQ | {"modules_to_not_convert": ["v_proj"]}, "holds as one"),
    "no such layer": (GPTQ | {"dynamic": {r"+:.*\.ffn\..*": {"bits": 8}}}, "treats .* apart"),
    "no such name": (AWQ | {"modules_to_not_convert": ["layers.99."]}, "treats .* apart"),
    "no pattern": (GPTQ | {"dynamic": {"+:(": {"bits": 8}}}, "a pattern that is none"),
    "3 bits": (GPTQ | {"bits": 3}, "'bits'"),
    "true for bits": (GPTQ | {"bits": True}, "'bits'"),
    "no bits": ({"quant_method": "gptq"}, "'bits'"),
    "rounded head": (GPTQ | {"lm_head": True}, "'lm_head'"),
    "rule with 3 bits": (GPTQ | {"dynamic": {".*": {"bits": 3}}}, "'dynamic"),
    "rules in a list": (GPTQ | {"dynamic": [".*"]}, "'dynamic'"),
    "nvfp4": (compressed({"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float"}}),
              "4-bit floating-point"),
    "bitsandbytes": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "'bitsandbytes'"),
    "mxfp4": ({"quant_method": "mxfp4"}, "'mxfp4'"),
    "unknown": ({"quant_method": "x\ny"}, "cannot be estimated"),
    "no method": ({"bits": 4, "group_size": 128}, "None checkpoint"),
    "not an object": ("gptq", "must be an object"),
    "a list": ([GPTQ], "must be an object"),
}  # fmt: skip


@pytest.mark.parametrize(("quantization", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_one_line(
    tmp_path: Path, quantization: Any, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        size(tmp_path, quantization)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([
    "bits", "w_bit", "group_size", "q_group_size", "dynamic", "ignore", "config_groups", "lm_head",
    "modules_to_not_convert", "modules_in_block_to_quantize", "extra_config", "zero_point",
    "ignored_layers", "weight_block_size", "block_name_to_quantize", "quantization", "data_type",
    "kv_cache_scheme", "store_dtype", "symmetric", "weights", "targets", "num_bits", "type",
])  # fmt: skip
RULES = st.dictionaries(
    st.sampled_from(["+:.*mlp.*", "-:.*", ".*down_proj", "lm_head", "re:.*", "(", "", "-:", "g0"]),
    st.dictionaries(KEYS, JSON | st.sampled_from([4, 8, 16, 128, -1, 4.0]), max_size=4) | JSON,
    max_size=3,
)
METHODS = st.sampled_from(
    ["gptq", "awq", "fp8", "compressed-tensors", "auto-round", "mxfp4", "modelopt"]
)
ANY = JSON | st.builds(
    lambda method, base, more: base | more | {"quant_method": method},
    METHODS | JSON,
    st.sampled_from([GPTQ, AWQ, compressed(group(4, "Linear")), {}]),
    st.dictionaries(KEYS, JSON | RULES | st.lists(RULES, max_size=2), max_size=4),
)


@given(quantization=ANY, model=st.sampled_from([MISTRAL_7B, QWEN3_30B_A3B, DEEPSEEK_V2_LITE]))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_quantisation_is_a_size_or_one_line(
    tmp_path: Path, quantization: Any, model: dict[str, Any]
) -> None:
    try:
        found = size(tmp_path, quantization, model)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        whole = size(tmp_path, None, model)
        assert isinstance(found, int) and whole / 5 < found <= whole * 1.3
