"""The weights that are counted are those of the files that vLLM loads."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from models.weight_files import transformers_files
from tests.unit.models.test_checkpoint import TINY, zeros

SHARDS = {"a.weight": zeros(8, 8), "b.weight": zeros(4, 4)}
SHARDED = 2 * (64 + 16)


def sharded(folder: Path, index: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(TINY))
    names = {}
    for number, (name, tensor) in enumerate(SHARDS.items(), 1):
        names[name] = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensor}, folder / names[name])
    if index:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder


def counted(folder: Path) -> int:
    return read_checkpoint(folder).weights_bytes


def test_mistral_s_own_file_is_loaded_instead_of_the_shards(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    save_file({"layers.0.attention.wq.weight": zeros(9, 8)}, folder / "consolidated.safetensors")
    assert counted(folder) == 2 * 72
    assert [file.name for file in transformers_files(folder)] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_mistral_s_shards_follow_their_own_index(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    save_file({"x.weight": zeros(8, 8)}, folder / "consolidated-00001-of-00001.safetensors")
    save_file({"y.weight": zeros(8, 8)}, folder / "consolidated.safetensors")
    index = {"weight_map": {"x.weight": "consolidated-00001-of-00001.safetensors"}}
    (folder / "consolidated.safetensors.index.json").write_text(json.dumps(index))
    assert counted(folder) == 2 * 64


def test_mistral_s_vocabulary_is_padded_too(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    tensors = {"tok_embeddings.weight": zeros(100, 64), "output.weight": zeros(100, 64)}
    save_file(tensors, folder / "consolidated.safetensors")
    assert counted(folder) == 2 * 128 * 64 * 2


def test_one_file_beside_shards_and_their_index_is_not_loaded(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    save_file({"a.weight": zeros(8, 8), "c.weight": zeros(64, 8)}, folder / "model.safetensors")
    save_file({"base.lora_A.weight": zeros(8, 8)}, folder / "adapter_model.safetensors")
    assert counted(folder) == SHARDED


def test_without_an_index_a_name_counts_once(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m", index=False)
    save_file(SHARDS, folder / "model.safetensors")
    assert counted(folder) == SHARDED


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "optimizer.pt", "scheduler.pt", "training_args.bin", "x.gguf",
             "original/consolidated.00.pth", "nested/model.safetensors"],
)  # fmt: skip
def test_what_lies_beside_the_weights_does_not_count(tmp_path: Path, name: str) -> None:
    folder = sharded(tmp_path / "m")
    other = folder / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"x" * 4096)
    assert counted(folder) == SHARDED


def test_mistral_s_file_in_a_folder_below_is_refused(tmp_path: Path) -> None:
    """vLLM looks for the format anywhere below and then for the files at the top."""
    folder = sharded(tmp_path / "m")
    (folder / "original").mkdir()
    save_file(SHARDS, folder / "original" / "consolidated.safetensors")
    with pytest.raises(CheckpointError, match=r"original/consolidated.*move that file away"):
        counted(folder)


def test_an_adapter_s_weights_without_an_index_are_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m", index=False)
    save_file({"q_proj.lora_A.weight": torch.zeros(2, 2)}, folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="a folder of its own"):
        counted(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"first 'model-00002-of-00002\.safetensors'"):
        counted(folder)


@pytest.mark.parametrize(
    "index", ["[]", "{}", '{"weight_map": {"a": 1}}', "{", '{"weight_map": 1}']
)
def test_a_damaged_index_is_one_line(tmp_path: Path, index: str) -> None:
    folder = sharded(tmp_path / "m")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json") as caught:
        counted(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.gguf"])
def test_a_folder_of_another_format_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=rf"no \.safetensors file \({name} .*config\.json"):
        counted(tmp_path)
