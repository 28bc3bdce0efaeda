"""KV bytes per token of published models equal the figures worked by hand beside them."""

from typing import Any

import pytest

from models.errors import CheckpointError
from models.kv_layout import AttentionLayers, attention_layers, split_projection_bytes
from tests.unit.models.published_configs import (
    DEEPSEEK_V2_LITE,
    GEMMA_2_9B,
    GEMMA_2B,
    GEMMA_3_1B,
    GEMMA_3_4B,
    GPT_OSS_20B,
    LLAMA_31_8B,
    MISTRAL_7B,
    MISTRAL_7B_V01,
    MIXTRAL_8X7B,
    PHI_3_MINI_4K,
    QWEN3_8B,
    QWEN3_30B_A3B,
    QWEN25_7B,
)

# (config, [(layers, window)], bytes of one token in one layer worked by hand)
BY_HAND = [
    # K and V x 8 heads x 128 (4096 / 32) x 2 bytes
    pytest.param(MISTRAL_7B, [(32, None)], 2 * 8 * 128 * 2, id="mistral-7b"),
    pytest.param(LLAMA_31_8B, [(32, None)], 2 * 8 * 128 * 2, id="llama-3.1-8b"),
    # 3584 / 28 = 128; the window is switched off
    pytest.param(QWEN25_7B, [(28, None)], 2 * 4 * 128 * 2, id="qwen2.5-7b"),
    pytest.param(QWEN3_8B, [(36, None)], 2 * 8 * 128 * 2, id="qwen3-8b"),
    # 34 layers, every sixth whole: 5 whole and 29 windowed; 4 heads x 256 by default
    pytest.param(GEMMA_3_4B, [(5, None), (29, 1024)], 2 * 4 * 256 * 2, id="gemma-3-4b"),
    # all 32 heads keep K and V (no grouping): 3072 / 32 = 96
    pytest.param(PHI_3_MINI_4K, [(32, 2047)], 2 * 32 * 96 * 2, id="phi-3-mini"),
    # every sixth of 26 whole: 4; one head (MQA)
    pytest.param(GEMMA_3_1B, [(4, None), (22, 512)], 2 * 1 * 256 * 2, id="gemma-3-1b"),
    pytest.param(GEMMA_2_9B, [(21, None), (21, 4096)], 2 * 8 * 256 * 2, id="gemma-2-9b"),
    pytest.param(GEMMA_2B, [(18, None)], 2 * 1 * 256 * 2, id="gemma-2b"),
    pytest.param(MISTRAL_7B_V01, [(32, 4096)], 2 * 8 * 128 * 2, id="mistral-7b-v0.1"),
    pytest.param(MIXTRAL_8X7B, [(32, None)], 2 * 8 * 128 * 2, id="mixtral"),
    pytest.param(QWEN3_30B_A3B, [(48, None)], 2 * 4 * 128 * 2, id="qwen3-30b-a3b"),
    pytest.param(GPT_OSS_20B, [(12, None), (12, 128)], 2 * 8 * 64 * 2, id="gpt-oss-20b"),
    # latent 512 + rotary 64, no second V vector
    pytest.param(DEEPSEEK_V2_LITE, [(27, None)], (512 + 64) * 2, id="deepseek-v2-lite"),
]


@pytest.mark.parametrize(("config", "kinds", "per_layer"), BY_HAND)
def test_layers_equal_the_hand_worked_ones(
    config: dict[str, Any], kinds: list[tuple[int, int | None]], per_layer: int
) -> None:
    expected = tuple(AttentionLayers(layers, per_layer, window) for layers, window in kinds)
    assert attention_layers(config, 2) == expected


def test_whole_figures_of_seven_billion_models() -> None:
    totals = {
        name: sum(k.layers * k.bytes_per_token for k in attention_layers(config, 2))
        for name, config in {"mistral": MISTRAL_7B, "qwen2.5": QWEN25_7B, "qwen3": QWEN3_8B}.items()
    }
    assert totals == {"mistral": 131_072, "qwen2.5": 57_344, "qwen3": 147_456}


def test_windows_alternate_without_layer_types() -> None:
    config = {key: value for key, value in GPT_OSS_20B.items() if key != "layer_types"}
    assert attention_layers(config, 2) == attention_layers(GPT_OSS_20B, 2)


def test_an_eight_bit_cache_takes_half() -> None:
    assert attention_layers(LLAMA_31_8B, 1)[0].bytes_per_token == 2048


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["JambaForCausalLM"]}, "'JambaForCausalLM' is not understood"),
        ({"architectures": ["MambaForCausalLM"]}, "'MambaForCausalLM' is not understood"),
        ({"architectures": []}, "exactly one architecture"),
        ({"architectures": None}, "exactly one architecture"),
        ({"num_hidden_layers": -1}, "'num_hidden_layers' must be a whole number above 0, got -1"),
        ({"num_hidden_layers": True}, "'num_hidden_layers' must be"),
        ({"hidden_size": None}, "'hidden_size' must be"),
        ({"num_key_value_heads": 0}, "'num_key_value_heads' must be"),
        ({"num_key_value_heads": "8"}, "'num_key_value_heads' must be"),
        ({"num_key_value_heads": 5}, "'num_attention_heads' 32 is no multiple of 'num_key_v"),
        ({"hidden_size": 4100}, "'hidden_size' 4100 is no multiple of 'num_attention_heads' 32"),
        ({"layer_types": ["linear_attention"] * 32}, "'layer_types' holds"),
        ({"layer_types": ["full_attention"]}, "wrong length"),
        ({"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 2}, "max_window"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        attention_layers(LLAMA_31_8B | change, 2)
    assert "\n" not in str(caught.value)


def test_sparse_latent_attention_is_refused() -> None:
    with pytest.raises(CheckpointError, match="index_topk"):
        attention_layers(DEEPSEEK_V2_LITE | {"index_topk": 2048}, 2)


def test_the_split_projection_of_latent_attention_is_counted() -> None:
    # 27 layers x latent 512 x 16 heads x (128 + 128) x 2 bytes
    assert split_projection_bytes(DEEPSEEK_V2_LITE) == 113_246_208
    assert split_projection_bytes(LLAMA_31_8B) == 0


def test_heads_default_to_all_heads() -> None:
    config = {key: value for key, value in LLAMA_31_8B.items() if key != "num_key_value_heads"}
    assert attention_layers(config, 2)[0].bytes_per_token == 2 * 32 * 128 * 2
