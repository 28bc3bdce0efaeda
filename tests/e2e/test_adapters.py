"""Two LoRA adapters come and go on a running CPU engine; the base model never restarts."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import ServingError
from deployments.replicas.build_engine import vllm_environment
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

# vLLM, imported into the test, warns of much that is not ours.
pytestmark = [pytest.mark.timeout(280), pytest.mark.filterwarnings("ignore")]
RANK, HIDDEN, LAYERS = 4, 576, 30
BASE = "base"
CONFIG = VllmConfig(max_model_len=256, max_num_seqs=4, max_loras=2, max_lora_rank=8)


def write_adapter(folder: Path, seed: int) -> Path:
    """A random adapter on the output projections, strong enough to change what is said."""
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": ["o_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(LAYERS):
        stem = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        tensors[f"{stem}.lora_A.weight"] = torch.randn(RANK, HIDDEN, generator=generator) * 0.1
        tensors[f"{stem}.lora_B.weight"] = torch.randn(HIDDEN, RANK, generator=generator) * 0.1
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.fixture
async def engine() -> AsyncIterator[Any]:
    set_defaults(vllm_environment(CONFIG))
    from deployments.vllm.engine import VllmEngine

    engine = VllmEngine(CONFIG, BASE)
    await engine.start()
    yield engine
    await engine.stop()


async def said(engine: Any, model: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 12,
    }
    request = EngineRequest("chat", body, f"r-{model}")
    answer = json.loads(b"".join([chunk.data async for chunk in engine.generate(request)]))
    assert answer["model"] == model
    return str(answer["choices"][0]["message"]["content"])


async def test_adapters_load_and_unload_without_a_restart(engine: Any, tmp_path: Path) -> None:
    first, second = (write_adapter(tmp_path / name, seed) for seed, name in enumerate("ab"))
    plain = await said(engine, BASE)
    steps = engine.load().progress
    await engine.set_adapters({"legal": str(first), "health": str(second)})
    answers = {name: await said(engine, name) for name in (BASE, "legal", "health")}
    assert answers[BASE] == plain
    assert len(set(answers.values())) == 3, answers
    await engine.set_adapters({"health": str(second)})
    assert await said(engine, "health") == answers["health"]
    with pytest.raises(ServingError):
        await said(engine, "legal")
    with pytest.raises(ConfigError, match="adapter tax: cannot be loaded"):
        await engine.set_adapters({"health": str(second), "tax": str(tmp_path / "nowhere")})
    assert await said(engine, BASE) == plain
    assert engine.load().progress > steps  # the same engine went on counting
