"""The plan's figures are the engine's own: tokens at start-up, and bytes of weights loaded.

Starts vLLM's CPU engine on the default model in a process of its own, once for each combination.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from autoscale.packing.kv import Demand, KvLayers, kv_capacity
from models.checkpoint import read_checkpoint
from models.default_model import ensure

# KV bytes, context length, block size. Among them: bytes one below a whole block, a context that is
# no multiple of the block, and one block more than a request needs.
COMBINATIONS = [
    (1 << 28, 1024, 128),
    (300_000_001, 1000, 32),
    (737_280 * 40 - 1, 1000, 32),
    (737_280 * 40, 1000, 32),
    (200_000_000, 2048, 64),
    (150_000_000, 777, 256),
]
# vLLM's own INT4 kernel, which keeps a checkpoint's tensors, is there from AVX-512 on.
AVX512 = torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
ENGINE = """
import json, os, sys
os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_OMP_THREADS_BIND="nobind")
from vllm import LLM
for index, (kv_bytes, length, block_size) in enumerate(json.loads(sys.argv[2])):
    # The cache does not depend on the weights, which take half of a start: they are read once.
    engine = LLM(sys.argv[1], dtype="bfloat16", enforce_eager=True, max_model_len=length,
                 kv_cache_memory_bytes=kv_bytes, block_size=block_size, max_num_seqs=4,
                 load_format="dummy" if index else "auto")
    cache = engine.llm_engine.vllm_config.cache_config
    weights = engine.collective_rpc(lambda worker: {
        name: value.numel() * value.element_size()
        for name, value in worker.model_runner.model.named_parameters()})[0]
    figures = {"tokens": cache.kv_cache_size_tokens, "blocks": cache.num_gpu_blocks,
               "weights": sum(size for name, size in weights.items()
                              if not name.endswith("weight_shape"))}
    print("FIGURES", json.dumps(figures), flush=True)
    del engine
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure(tmp_path_factory.mktemp("models"), lambda *_: None).small


@pytest.fixture(scope="module")
def engine_figures(model: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", ENGINE, str(model), json.dumps(COMBINATIONS)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith("FIGURES ")]
    assert len(lines) == len(COMBINATIONS), run.stdout[-1500:] + run.stderr[-1500:]
    return [json.loads(line.removeprefix("FIGURES ")) for line in lines]


@pytest.mark.parametrize("index", range(len(COMBINATIONS)), ids=[str(c) for c in COMBINATIONS])
def test_planned_tokens_are_the_engine_s(
    model: Path, engine_figures: list[dict[str, Any]], index: int
) -> None:
    kv_bytes, length, block_size = COMBINATIONS[index]
    layers = tuple(KvLayers(*kind) for kind in read_checkpoint(model).kv_layers)
    planned = kv_capacity(kv_bytes, layers, Demand(length, block_size=block_size))
    figures = engine_figures[index]
    assert (planned.blocks, planned.tokens) == (figures["blocks"], figures["tokens"])


@pytest.mark.skipif(
    not AVX512,
    reason="without AVX-512 the weights are repacked for PyTorch's kernel, scales beside shifts",
)
def test_planned_weights_are_the_bytes_loaded(
    model: Path, engine_figures: list[dict[str, Any]]
) -> None:
    assert {figures["weights"] for figures in engine_figures} == {
        read_checkpoint(model).weights_bytes
    }
