"""What `quantize` writes, vLLM loads and runs: a tiny checkpoint of each family, or a refusal."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import CheckpointError
from models.quantise import ROUNDED, Settings, quantise_checkpoint

# Fourteen engines start one after the other: many minutes on a busy machine.
pytestmark = pytest.mark.timeout(1500)

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "vocab_size": 256,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
    "phi3": {},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 64},
    "gemma3_text": {"query_pre_attn_scalar": 64},
    # vLLM's Phi and Olmo know no grouped heads.
    "phi": {"num_key_value_heads": 2},
    "olmo": {"num_key_value_heads": 2},
    "olmo2": {},
    "granite": {},
    "smollm3": {},
    "stablelm": {},
}
REFUSED: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128},
    "gemma3": {"text_config": SIZES, "vision_config": SIZES | {"image_size": 28}},
}
# One process for all: vLLM's import alone takes many seconds.
RUN = """
import gc, json, os, sys
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
from vllm import LLM, SamplingParams, TokensPrompt
for folder in sys.argv[1:]:
    try:
        llm = LLM(folder, skip_tokenizer_init=True, enforce_eager=True, max_model_len=128,
                  kv_cache_memory_bytes=1 << 26, dtype="bfloat16", max_num_seqs=2,
                  distributed_executor_backend="uni")
        prompt = TokensPrompt(prompt_token_ids=list(range(3, 40)))
        sampling = SamplingParams(max_tokens=4, temperature=0, ignore_eos=True, detokenize=False)
        (answer,) = llm.generate(prompt, sampling, use_tqdm=False)
        found = list(answer.outputs[0].token_ids)
        llm.llm_engine.engine_core.shutdown()
        del llm
    except Exception as error:
        found = repr(error)[:300]
    gc.collect()
    print("RAN", json.dumps([folder, found]), flush=True)
"""


def made(folder: Path, family: str, more: dict[str, Any]) -> Path:
    """A checkpoint with random weights in the layout of transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    config = AutoConfig.for_model(family, **(SIZES | more))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("families")
    for family, more in FAMILIES.items():
        source = made(root / f"{family}-source", family, more)
        quantise_checkpoint(source, root / family, Settings(), None, lambda _step, _part: None)
    folders = [str(root / family) for family in FAMILIES]
    run = subprocess.run(
        [sys.executable, "-c", RUN, *folders],
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("RAN ")]
    assert len(lines) == len(folders), run.stderr[-1500:]
    return {Path(folder).name: found for folder, found in (json.loads(x[4:]) for x in lines)}


def test_every_family_that_is_rounded_is_loaded_here() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert {MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family] for family in FAMILIES} == ROUNDED


@pytest.mark.parametrize("family", FAMILIES)
def test_vllm_runs_what_was_written(family: str, answers: dict[str, Any]) -> None:
    assert isinstance(answers[family], list), answers[family]
    assert len(answers[family]) == 4


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_is_not_rounded_is_refused(family: str, tmp_path: Path) -> None:
    source = made(tmp_path / "source", family, REFUSED[family])
    with pytest.raises(CheckpointError, match="is not rounded here"):
        quantise_checkpoint(source, tmp_path / "out", Settings(), None, lambda _step, _part: None)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
