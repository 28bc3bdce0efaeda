"""The files that `smallfirst plan` counts are those that vLLM's loader chooses."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.weight_files import loaded_files

INDEX = "model.safetensors.index.json"
FOLDERS: dict[str, list[str]] = {
    "one file": ["model.safetensors"],
    "shards": ["model-1.safetensors", "model-2.safetensors"],
    "shards, index, one file": ["model.safetensors", "model-1.safetensors", INDEX],
    "consolidated beside shards": ["consolidated.safetensors", "model-1.safetensors", INDEX],
    "consolidated shards": ["consolidated-1.safetensors", "consolidated-2.safetensors"],
    "consolidated index": ["consolidated-1.safetensors", "consolidated-2.safetensors",
                           "consolidated.safetensors.index.json"],
    "training leftovers": ["model.safetensors", "optimizer.pt", "training_args.bin"],
    "bin beside": ["model.safetensors", "pytorch_model.bin"],
    "folders below": ["model.safetensors", "original/consolidated.00.pth", "x/model.safetensors"],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # on vLLM's import
@pytest.mark.parametrize("names", FOLDERS.values(), ids=FOLDERS)
def test_the_same_files_are_chosen(tmp_path: Path, names: list[str]) -> None:
    from vllm.config.load import LoadConfig
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".index.json"):
            first = "consolidated-1" if name.startswith("consolidated") else "model-1"
            path.write_text(json.dumps({"weight_map": {"a": f"{first}.safetensors"}}))
        elif name.endswith(".safetensors"):
            save_file({"a": torch.zeros(1)}, path)
        else:
            path.write_bytes(b"")
    loader = DefaultModelLoader(LoadConfig())
    _, chosen, safetensors, _ = loader._prepare_weights(str(tmp_path), None, None, True, None)
    assert safetensors
    assert sorted(chosen) == [str(path) for path in loaded_files(tmp_path)]
