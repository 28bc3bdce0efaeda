"""Weights in bytes are those that vLLM loads: exact from headers, else estimated and marked."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from tests.unit.models.published_configs import GEMMA_3_4B, LLAMA_31_8B, MISTRAL_7B, QWEN25_7B

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


# Worked by hand. Llama-3.1-8B: 8,030,261,248 parameters as published; Mistral-7B-v0.3:
# 7,248,023,552; Qwen2.5-7B: 7,615,616,512 with 28 x 4,608 attention biases, which are left out.
@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (LLAMA_31_8B, 8_030_261_248),
        (MISTRAL_7B, 7_248_023_552),
        (QWEN25_7B, 7_615_616_512 - 28 * 4_608),
    ],
    ids=["llama-3.1-8b", "mistral-7b", "qwen2.5-7b"],
)
def test_a_lone_config_gives_the_published_parameter_count(
    tmp_path: Path, config: dict[str, Any], parameters: int
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    facts = read_checkpoint(path)
    assert facts.parameters == parameters
    assert (facts.weights_bytes, facts.estimated) == (2 * parameters, True)


def test_int4_is_estimated_with_its_scales_and_zero_points(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MISTRAL_7B))
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    rest = 2 * 32768 * 4096 + 32 * 2 * 4096 + 4096
    expected = linear // 2 + linear // 128 * 20 // 8 + 2 * rest
    facts = read_checkpoint(path, as_int4=True)
    assert (facts.weights_bytes, facts.estimated) == (expected, True)
    assert 3.8 < expected / 2**30 < 3.9  # what "a 7B model in 4 bits" comes to


def test_a_model_with_a_vision_tower_is_not_estimated(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(GEMMA_3_4B))
    with pytest.raises(CheckpointError, match="give the checkpoint folder"):
        read_checkpoint(path)


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
    write_checkpoint(tmp_path, {"a.weight": zeros(64, 64)})
    for shard in range(400):
        save_file({f"l{shard}.weight": zeros(256, 256)}, tmp_path / f"s-{shard:05}.safetensors")
    started = time.perf_counter()
    facts = read_checkpoint(tmp_path)
    print(f"400 files: {time.perf_counter() - started:.3f} s")
    assert facts.weights_bytes == 400 * 256 * 256 * 2 + 64 * 64 * 2
