"""What `config.json` says of a published model is what vLLM builds from it, to the byte.

vLLM builds each model at its real size without memory (torch's meta device) in one process and
states the bytes of its parameters and the KV cache of every layer.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.adapter import slot_bytes
from models.checkpoint import read_checkpoint
from tests.unit.models import published_configs

CONFIGS: dict[str, dict[str, Any]] = {
    name: value
    # A model with experts first: vLLM makes their process group with the first model or never.
    for name, value in sorted(vars(published_configs).items(), key=lambda x: "MIXTRAL" not in x[0])
    # vLLM needs torchvision for Gemma 3 with images; its count is the published one (unit test).
    if name.isupper() and "vision_config" not in value
}
WITH_LORA = ["LLAMA_31_8B", "QWEN3_8B"]
BUILD = """
import json, sys, torch
from vllm.config import set_current_vllm_config
from vllm.distributed import ensure_model_parallel_initialized, init_distributed_environment
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.lora.model_manager import create_lora_manager
def lora_bytes(model, config):
    create_lora_manager(model, 4, 512, config.model_config.get_vocab_size(), config.lora_config,
                        config, torch.device("meta"))
    found = {}  # by storage: some of the tensors are views of others
    for module in model.modules():
        for name, value in vars(module).items():
            if name.startswith("lora_") and "stacked" in name:
                for tensor in value if isinstance(value, (tuple, list)) else [value]:
                    storage = tensor.untyped_storage()
                    found[storage._cdata] = storage.nbytes()
    return sum(found.values())
for folder in sys.argv[2:]:
    with_lora = folder.endswith("-lora")
    config = EngineArgs(model=folder.removesuffix("-lora"), skip_tokenizer_init=True,
                        max_model_len=1024, enforce_eager=True, dtype="bfloat16",
                        enable_lora=with_lora, max_loras=2, max_lora_rank=16).create_engine_config()
    with set_current_vllm_config(config):
        if not torch.distributed.is_initialized():
            init_distributed_environment(1, 0, f"file://{sys.argv[1]}", 0, "gloo")
            ensure_model_parallel_initialized(1, 1)
        torch.set_default_dtype(torch.bfloat16)
        with torch.device("meta"):
            model = initialize_model(config)
        if with_lora:
            print("BUILT", json.dumps({"lora": lora_bytes(model, config)}), flush=True)
            continue
        torch.set_default_dtype(torch.float32)
    layers = config.compilation_config.static_forward_context.values()
    specs = [x.get_kv_cache_spec(config) for x in layers if isinstance(x, AttentionLayerBase)]
    kinds = [(s.page_size_bytes // s.block_size, getattr(s, "sliding_window", None)) for s in specs]
    size = sum(value.numel() * value.element_size() for value in model.parameters())
    print("BUILT", json.dumps({"bytes": size, "kinds": kinds}), flush=True)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("configs")
    for name, config in CONFIGS.items():
        (root / name).mkdir()
        (root / name / "config.json").write_text(json.dumps(config))
    return {name: root / name for name in CONFIGS}


@pytest.fixture(scope="module")
def built(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = tmp_path_factory.mktemp("store") / "gloo"
    wanted = {name: str(path) for name, path in folders.items()}
    wanted |= {f"{name}-lora": f"{folders[name]}-lora" for name in WITH_LORA}
    command = [sys.executable, "-c", BUILD, str(store), *wanted.values()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith("BUILT ")]
    assert len(lines) == len(wanted), run.stderr[-1500:]
    answers = [json.loads(line.removeprefix("BUILT ")) for line in lines]
    return dict(zip(wanted, answers, strict=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_and_kv_layers_are_vllm_s(
    name: str, folders: dict[str, Path], built: dict[str, Any]
) -> None:
    facts = read_checkpoint(folders[name] / "config.json")
    assert facts.weights_bytes == built[name]["bytes"]
    planned = [
        [kind.bytes_per_token, kind.window_tokens]
        for kind in facts.kv_layers
        for _ in range(kind.layers)
    ]
    assert sorted(planned, key=str) == sorted(built[name]["kinds"], key=str)


@pytest.mark.parametrize("name", WITH_LORA)
def test_slots_of_adapters_are_vllm_s(name: str, built: dict[str, Any]) -> None:
    assert 2 * slot_bytes(CONFIGS[name], 16) == built[f"{name}-lora"]["lora"]
