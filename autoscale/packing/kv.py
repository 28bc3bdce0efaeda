"""How many tokens a KV cache of a given size holds: vLLM's block accounting, without vLLM.

Follows vLLM 0.32 (`vllm/v1/core/kv_cache_utils.py`, `vllm/v1/kv_cache_interface.py`), so that a
planned token count is the one in the engine's start-up log. `tests/e2e/test_plan_truth.py` compares
the two.
"""

from dataclasses import dataclass
from typing import NamedTuple


class KvLayers(NamedTuple):
    """`layers` attention layers alike; `window_tokens` None means the whole context."""

    layers: int
    bytes_per_token: int
    window_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What each replica must be able to hold."""

    max_model_len: int
    concurrency: int = 8
    block_size: int = 16
    # Both are vLLM's own defaults on GPUs below 70 GiB (vLLM 0.32 `EngineArgs.get_batch_defaults`).
    max_num_batched_tokens: int = 2048
    max_num_seqs: int = 256
    replicas_per_gpu: int | None = None

    @property
    def in_flight_tokens(self) -> int:
        """Tokens scheduled but not settled: two batches under vLLM's asynchronous scheduling."""
        return 2 * self.max_num_batched_tokens


class KvCapacity(NamedTuple):
    """What a KV cache of a given size holds."""

    blocks: int
    tokens: int
    max_concurrency: float


def cache_groups(kv_layers: tuple[KvLayers, ...]) -> list[KvLayers]:
    """The layers as vLLM shares blocks among them: groups of one kind and equal length.

    With two kinds, the group length is that of the rarer kind (or of the commoner one if it is less
    than 1.5 times as common), and the last group of a kind is padded. Source: vLLM 0.32
    `_get_kv_cache_groups_uniform_page_size`.
    >>> [g.layers for g in cache_groups((KvLayers(5, 4), KvLayers(29, 4, 1024)))]
    [5, 5, 5, 5, 5, 5, 5]
    """
    if len({kind.bytes_per_token for kind in kv_layers}) != 1:
        raise ValueError("layers with KV caches of different width cannot be planned")
    counts = [kind.layers for kind in kv_layers]
    length = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    return [
        kind._replace(layers=length) for kind in kv_layers for _ in range(-(-kind.layers // length))
    ]


def blocks_per_request(kv_layers: tuple[KvLayers, ...], demand: Demand) -> int:
    """Blocks that one request of `max_model_len` tokens may come to hold.

    A windowed group holds the window and the tokens in flight, in one block more because the window
    need not start at a block's first token.
    """
    total = 0
    for group in cache_groups(kv_layers):
        tokens, extra = demand.max_model_len, 0
        if group.window_tokens is not None:
            tokens, extra = min(group.window_tokens - 1 + demand.in_flight_tokens, tokens), 1
        total += -(-tokens // demand.block_size) + extra
    return total


def bytes_per_block(kv_layers: tuple[KvLayers, ...], block_size: int) -> int:
    """One block of the pool that all groups share: `block_size` tokens of one group's layers."""
    group = cache_groups(kv_layers)[0]
    return group.layers * group.bytes_per_token * block_size


def kv_capacity(
    kv_cache_memory_bytes: int, kv_layers: tuple[KvLayers, ...], demand: Demand
) -> KvCapacity:
    """What vLLM makes of that many bytes: whole blocks, tokens and concurrency as it logs them.

    >>> smollm2 = (KvLayers(30, 768),)
    >>> kv_capacity(1 << 30, smollm2, Demand(1024, block_size=128))
    KvCapacity(blocks=364, tokens=46592, max_concurrency=45.5)
    """
    blocks = kv_cache_memory_bytes // bytes_per_block(kv_layers, demand.block_size)
    concurrency = blocks / blocks_per_request(kv_layers, demand)
    # The same float expression as vLLM's, so that both round alike.
    return KvCapacity(blocks, int(concurrency * demand.max_model_len), concurrency)
