"""Weights in bytes are those that vLLM loads: exact from headers, else estimated and marked."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from models.weight_scheme import INT4
from tests.unit.models.published_configs import (
    DEEPSEEK_V2_LITE,
    GEMMA_2_9B,
    GEMMA_2B,
    GEMMA_3_1B,
    GEMMA_3_4B,
    GPT_OSS_20B,
    LLAMA_31_8B,
    LLAMA_32_1B,
    MISTRAL_7B,
    MIXTRAL_8X7B,
    QWEN3_30B_A3B,
    QWEN25_7B,
)

TINY = LLAMA_31_8B | {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 100,
}


def write_checkpoint(
    folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any] = TINY
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def zeros(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.zeros(*shape, dtype=dtype)


# The vocabulary of 100 is held as 128 rows of 64 x 2 bytes.
EMBEDDING = 128 * 64 * 2
PACKED = {
    "layer.weight_packed": zeros(64, 8, dtype=torch.int32),
    "layer.weight_scale": zeros(64, 2),
    "layer.weight_zero_point": zeros(8, 2, dtype=torch.int32),
    "layer.weight_shape": zeros(2, dtype=torch.int64),
}
CASES = [
    pytest.param({"layer.weight": zeros(64, 64)}, {}, 64 * 64 * 2, id="bfloat16"),
    pytest.param({"layer.weight": zeros(9, 9, dtype=torch.float32)}, {}, 81 * 2, id="float32 cast"),
    pytest.param(
        {"layer.scale": zeros(9, dtype=torch.float32)}, {}, 9 * 4, id="float32 scale kept"
    ),
    pytest.param({"layer.weight": zeros(64, 64).to(torch.float8_e4m3fn)}, {}, 64 * 64, id="float8"),
    pytest.param(PACKED, {}, 64 * 8 * 4 + 64 * 2 * 2 + 8 * 2 * 4, id="int4, scales, zero points"),
    pytest.param(
        {"model.layers.0.w": zeros(8), "model.layers.1.w": zeros(8)}, {}, 16, id="past the last"
    ),
    pytest.param({"x.rotary_emb.inv_freq": zeros(8), "x.w": zeros(2)}, {}, 4, id="not loaded"),
    pytest.param({"model.embed_tokens.weight": zeros(100, 64)}, {}, EMBEDDING, id="padded rows"),
    pytest.param(
        {"model.embed_tokens.weight": zeros(100, 64), "lm_head.weight": zeros(100, 64)},
        {"tie_word_embeddings": True},
        EMBEDDING,
        id="tied head once",
    ),
    pytest.param(
        {"model.embed_tokens.weight": zeros(100, 64), "lm_head.weight": zeros(100, 64)},
        {},
        2 * EMBEDDING,
        id="untied head twice",
    ),
]


@pytest.mark.parametrize(("tensors", "change", "expected"), CASES)
def test_stored_weights_are_counted_to_the_byte(
    tmp_path: Path, tensors: dict[str, torch.Tensor], change: dict[str, Any], expected: int
) -> None:
    facts = read_checkpoint(write_checkpoint(tmp_path / "m", tensors, TINY | change))
    assert (facts.weights_bytes, facts.estimated) == (expected, False)


# As published with the safetensors files on the hub.
@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (LLAMA_31_8B, 8_030_261_248),
        (MISTRAL_7B, 7_248_023_552),
        (QWEN25_7B, 7_615_616_512),
        (LLAMA_32_1B, 1_235_814_400),
        (MIXTRAL_8X7B, 46_702_792_704),
        (QWEN3_30B_A3B, 30_532_122_624),
        (GEMMA_2B, 2_506_172_416),
        (GEMMA_2_9B, 9_241_705_984),
        (GEMMA_3_1B, 999_885_952),
        (GEMMA_3_4B, 4_300_079_472),
        (DEEPSEEK_V2_LITE, 15_706_484_224),
    ],
)
def test_a_lone_config_gives_the_published_parameter_count(
    tmp_path: Path, config: dict[str, Any], parameters: int
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    facts = read_checkpoint(path)
    assert facts.parameters == parameters
    assert not facts.active_weights_bytes > facts.weights_bytes
    assert (facts.weights_bytes, facts.estimated) == (2 * parameters, True)


@pytest.mark.parametrize(
    "stored",
    [
        {"weight": zeros(64, 64)},
        {"qweight": zeros(8, 64, dtype=torch.int32)},
        {"qweight": zeros(16, 64, dtype=torch.int32)},
        {"weight_packed": zeros(64, 16, dtype=torch.int32)},
        {"weight": zeros(64, 32, dtype=torch.uint8), "weight_scale_2": zeros(1)},
        {"weight": zeros(2048, 1, dtype=torch.uint8), "weight.absmax": zeros(64)},
    ],
    ids=["bfloat16", "gptq 4", "gptq 8", "int8 packed", "nvfp4", "bitsandbytes"],
)
def test_a_model_has_as_many_parameters_however_they_are_stored(
    tmp_path: Path, stored: dict[str, torch.Tensor]
) -> None:
    layer = {f"model.layers.0.self_attn.q_proj.{name}": held for name, held in stored.items()}
    folder = write_checkpoint(tmp_path / "m", layer)
    whole = read_checkpoint(folder / "config.json").parameters
    assert read_checkpoint(folder).parameters == whole


def test_int4_is_estimated_with_its_scales_and_zero_points(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MISTRAL_7B))
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    rest = 2 * 32768 * 4096 + 32 * 2 * 4096 + 4096
    expected = linear // 2 + linear // 128 * 20 // 8 + 2 * rest
    facts = read_checkpoint(path, as_if=INT4)
    assert (facts.weights_bytes, facts.estimated) == (expected, True)
    assert 3.8 < expected / 2**30 < 3.9  # what "a 7B model in 4 bits" comes to


def lone(tmp_path: Path, config: dict[str, Any]) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path


def test_experts_that_a_token_does_not_use_are_not_read(tmp_path: Path) -> None:
    facts = read_checkpoint(lone(tmp_path, MIXTRAL_8X7B))
    # Six of eight experts of 3 x 4096 x 14336 in 32 layers.
    unused = 32 * 6 * 3 * 4096 * 14336 * 2
    assert facts.active_weights_bytes == facts.weights_bytes - unused


LINEAR = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
REST = 2 * (2 * 32768 * 4096 + 32 * 2 * 4096 + 4096)


def int4(group: int, symmetric: bool) -> dict[str, Any]:
    weights = {"num_bits": 4, "group_size": group, "symmetric": symmetric}
    return {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": weights}}}


@pytest.mark.parametrize(
    ("quantization", "scales"),
    [
        (int4(32, False), LINEAR // 32 * 20 // 8),
        (int4(64, True), LINEAR // 64 * 16 // 8),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, LINEAR // 128 * 20 // 8),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, LINEAR // 64 * 20 // 8),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, 0),
    ],
)
def test_the_groups_of_a_quantised_config_are_counted(
    tmp_path: Path, quantization: dict[str, Any], scales: int
) -> None:
    facts = read_checkpoint(lone(tmp_path, MISTRAL_7B | {"quantization_config": quantization}))
    assert facts.weights_bytes == LINEAR // 2 + scales + REST


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GPT_OSS_20B | {"quantization_config": {"quant_method": "mxfp4"}}, "'mxfp4' checkpoint"),
        (
            MISTRAL_7B | {"quantization_config": {"bits": 8, "group_size": 128}},
            "give the checkpoint folder",
        ),
        (
            MISTRAL_7B | {"quantization_config": int4(128, True) | {"kv_cache_scheme": {"n": 8}}},
            "'kv_cache_scheme' sets the KV cache type",
        ),
        ({k: v for k, v in MIXTRAL_8X7B.items() if "experts" not in k}, "needs one of num_local"),
        (GEMMA_3_4B | {"vision_config": {}}, "'hidden_size' must be .* in 'vision_config'"),
    ],
)
def test_what_cannot_be_estimated_is_refused(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(lone(tmp_path, config))
    assert "\n" not in str(caught.value)


def write_index(folder: Path, names: list[str]) -> None:
    index = {"weight_map": dict.fromkeys(names, "model.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_missing_shard_is_seen(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", {"a.weight": zeros(2, 2)})
    write_index(folder, ["a.weight", "b.weight"])
    with pytest.raises(CheckpointError, match=r"first 'b\.weight'; a shard is missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize("damage", ["truncate", "append", "not safetensors", "header", "empty"])
def test_damaged_weights_are_one_clear_line(tmp_path: Path, damage: str) -> None:
    folder = write_checkpoint(tmp_path / "m", {"a.weight": zeros(32, 32)})
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    content = {
        "truncate": whole[:-10],
        "append": whole + b"x",
        "not safetensors": b"\xff" * 64,
        "header": whole[:8] + b"{" * (len(whole) - 8),
        "empty": b"",
    }[damage]
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        read_checkpoint(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "must hold a JSON object"), (None, "cannot read")],
)
def test_a_bad_config_is_one_clear_line(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_folder_without_weights_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    with pytest.raises(CheckpointError, match=r"give its config\.json"):
        read_checkpoint(tmp_path)


def test_many_shards_are_read_without_their_weights(tmp_path: Path) -> None:
    """The weights of most shards are holes of no bytes on disk: only headers can be read."""
    write_checkpoint(tmp_path, {"a.weight": zeros(64, 64)})
    header = json.dumps(
        {"big.weight": {"dtype": "BF16", "shape": [1 << 16, 1 << 16], "data_offsets": [0, 1 << 33]}}
    ).encode()
    with (tmp_path / "hole.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (1 << 33))
    assert read_checkpoint(tmp_path).weights_bytes == (1 << 33) + 64 * 64 * 2
