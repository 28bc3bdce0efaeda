"""Sliding windows: the plan's blocks are those of vLLM's own accounting code, without an engine."""

from types import SimpleNamespace
from typing import Any

import pytest

from autoscale.packing.kv import Demand, KvLayers, blocks_per_request, bytes_per_block, cache_groups

# vLLM imports what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
HEADS, HEAD_SIZE = 8, 64  # K and V of 2 bytes: 2,048 bytes a token and layer
CASES = {
    "gemma-3": (KvLayers(5, 2048), KvLayers(29, 2048, 1024)),
    "gpt-oss": (KvLayers(12, 2048), KvLayers(12, 2048, 128)),
    "13 and 12": (KvLayers(13, 2048), KvLayers(12, 2048, 128)),
    "all windowed": (KvLayers(32, 2048, 2047),),
    "no window": (KvLayers(32, 2048),),
}


def specs(layers: tuple[KvLayers, ...], block_size: int) -> dict[str, Any]:
    """The cache spec of every layer, as vLLM's attention layers state it."""
    import torch
    from vllm.v1.kv_cache_interface import FullAttentionSpec, SlidingWindowSpec

    common: dict[str, Any] = {
        "block_size": block_size,
        "num_kv_heads": HEADS,
        "head_size": HEAD_SIZE,
        "dtype": torch.bfloat16,
    }
    found: dict[str, Any] = {}
    for kind in layers:
        for _ in range(kind.layers):
            window = kind.window_tokens
            found[f"layer.{len(found)}"] = (
                SlidingWindowSpec(**common, sliding_window=window)
                if window
                else FullAttentionSpec(**common)
            )
    return found


@pytest.mark.parametrize("length", [512, 8192, 8193])
@pytest.mark.parametrize("block_size", [16, 64])
@pytest.mark.parametrize("name", CASES)
def test_blocks_are_vllm_s(name: str, block_size: int, length: int) -> None:
    from vllm.v1.core import kv_cache_utils

    layers = CASES[name]
    demand = Demand(length, block_size=block_size)
    config = SimpleNamespace(
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False),
        model_config=SimpleNamespace(max_model_len=length),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1),
        cache_config=SimpleNamespace(
            get_resolved_kv_cache_layout=lambda: SimpleNamespace(is_block_outermost=True)
        ),
        attention_config=SimpleNamespace(hisparse_config=None),
        speculative_config=None,
        max_in_flight_tokens=demand.in_flight_tokens,
    )
    groups = kv_cache_utils.get_kv_cache_groups(config, specs(layers, block_size))
    assert len(groups) == len(cache_groups(layers))
    held = SimpleNamespace(kv_cache_groups=groups, num_blocks=1_000_000)
    concurrency = kv_cache_utils.get_max_concurrency_for_kv_cache_config(config, held)
    assert concurrency == 1_000_000 / blocks_per_request(layers, demand)
    largest = max(len(group.layer_names) for group in groups)
    page = groups[0].kv_cache_spec.page_size_bytes
    assert largest * page == bytes_per_block(layers, block_size)
