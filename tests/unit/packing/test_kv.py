"""KV capacity is vLLM's block accounting: off by one block, and a case here fails."""

import pytest

from autoscale.packing.kv import (
    Demand,
    KvLayers,
    blocks_per_request,
    bytes_per_block,
    cache_groups,
    kv_capacity,
)

LLAMA = (KvLayers(32, 4096),)
GEMMA = (KvLayers(5, 4096), KvLayers(29, 4096, 1024))
GPT_OSS = (KvLayers(12, 2048), KvLayers(12, 2048, 128))
PHI = (KvLayers(32, 12288, 2047),)


@pytest.mark.parametrize(
    ("layers", "groups"),
    [
        (LLAMA, [32]),
        # 5 whole, 29 windowed: groups of 5, the sixth windowed one padded by one layer
        (GEMMA, [5] * 7),
        (GPT_OSS, [12, 12]),
        # 13 is less than 1.5 x 12: both groups get 13
        ((KvLayers(13, 8), KvLayers(12, 8, 64)), [13, 13]),
        ((KvLayers(2, 8), KvLayers(3, 8, 64)), [2, 2, 2]),
    ],
)
def test_layers_are_grouped_as_vllm_does(layers: tuple[KvLayers, ...], groups: list[int]) -> None:
    assert [group.layers for group in cache_groups(layers)] == groups


# max_model_len, block size -> blocks; in flight are 2 x 2048 tokens
@pytest.mark.parametrize(
    ("layers", "length", "block_size", "blocks"),
    [
        (LLAMA, 8192, 16, 512),
        (LLAMA, 8193, 16, 513),
        (LLAMA, 1, 16, 1),
        # whole: 512; windowed, six groups: ceil((1023 + 4096) / 16) + 1 = 321 each
        (GEMMA, 8192, 16, 512 + 6 * 321),
        # a context shorter than the window: the windowed groups hold all of it, and one block more
        (GEMMA, 512, 16, 32 + 6 * 33),
        # whole: 512; windowed: ceil((127 + 4096) / 16) + 1 = 265
        (GPT_OSS, 8192, 16, 512 + 265),
        # the window's last token is the one being computed: ceil((1024 + 4096) / 16) + 1
        ((KvLayers(4, 8, 1025),), 8192, 16, 321),
        # ceil(min(2046 + 4096, 4096) / 16) + 1
        (PHI, 4096, 16, 257),
    ],
)
def test_blocks_of_one_request(
    layers: tuple[KvLayers, ...], length: int, block_size: int, blocks: int
) -> None:
    assert blocks_per_request(layers, Demand(length, block_size=block_size)) == blocks


def test_one_byte_less_is_one_block_less() -> None:
    demand = Demand(8192)
    block = bytes_per_block(LLAMA, 16)
    assert block == 32 * 4096 * 16
    assert kv_capacity(100 * block, LLAMA, demand).blocks == 100
    assert kv_capacity(100 * block - 1, LLAMA, demand).blocks == 99


def test_the_token_count_is_concurrency_times_length() -> None:
    # 1000 blocks, 513 for each request of 8193 tokens: int(1000 / 513 * 8193)
    capacity = kv_capacity(1000 * bytes_per_block(LLAMA, 16), LLAMA, Demand(8193))
    assert capacity.tokens == 15970
    assert capacity.max_concurrency == pytest.approx(1.9493, abs=1e-4)


def test_layers_of_different_width_are_refused() -> None:
    with pytest.raises(ValueError, match="different width"):
        cache_groups((KvLayers(2, 8), KvLayers(2, 16)))
