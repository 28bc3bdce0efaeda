"""Replicas never need more memory than the GPU has, and one more would."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoscale.packing.kv import Demand, KvLayers, blocks_per_request, bytes_per_block
from autoscale.packing.plan import (
    GIB,
    MAX_REPLICAS_PER_GPU,
    DoesNotFit,
    Footprint,
    Overheads,
    fixed_bytes,
    gpu_share,
    needed_bytes,
    pack,
    usable_bytes,
)

LAYERS = (KvLayers(32, 4096),)
SEVEN_B = Footprint("7b", 4 * GIB, LAYERS, GIB // 2, 4 * GIB, 7_000_000_000)
PLAIN = Overheads(GIB // 2, 0, 0, reserve_fraction=0.0)


def test_a_plan_worked_by_hand() -> None:
    # One replica: 4 + 0.5 + 0.5 GiB, and 8 x 512 + 1 blocks of 2 MiB = 8.00195 GiB: 13.00195 GiB.
    # 40 GiB hold 3. Each gets 13 1/3 GiB - 5 GiB = 4266 blocks (8.332 GiB) of 2 MiB.
    plan = pack(SEVEN_B, 40 * GIB, PLAIN, Demand(8192))
    assert plan.replicas_per_gpu == 3
    assert plan.gpu_share == 0.3333
    assert plan.kv_cache_memory_bytes == 4266 * 2 * 2**20
    assert plan.kv_tokens == 4266 * 16
    assert plan.kv_bytes_per_token == 131_072
    assert plan.max_concurrency == 4266 / 512
    assert plan.headroom_bytes == 40 * GIB - 3 * (5 * GIB + 4266 * 2 * 2**20)
    assert plan.binds == "kv_cache"
    assert plan.gpu_memory_utilization == 0.32  # without its own CUDA context of 0.5 GiB


def test_the_last_byte_decides() -> None:
    need = needed_bytes(SEVEN_B, PLAIN, Demand(8192))
    assert pack(SEVEN_B, 2 * need, PLAIN, Demand(8192)).replicas_per_gpu == 2
    assert pack(SEVEN_B, 2 * need - 1, PLAIN, Demand(8192)).replicas_per_gpu == 1


@pytest.mark.parametrize(
    ("memory_gib", "demand", "binds"),
    [
        (40, Demand(8192), "kv_cache"),
        (14, Demand(8192), "kv_cache"),
        (40, Demand(8192, replicas_per_gpu=2), "replicas_per_gpu"),
        (40, Demand(8192, replicas_per_gpu=3), "kv_cache"),
        (9, Demand(64, concurrency=1), "weights"),
        (9999, Demand(64), "max_replicas"),
    ],
)
def test_what_binds_is_named(memory_gib: int, demand: Demand, binds: str) -> None:
    assert pack(SEVEN_B, memory_gib * GIB, PLAIN, demand).binds == binds


@pytest.mark.parametrize(
    ("memory_gib", "demand", "shortfall", "nearest"),
    [
        (40, Demand(8192, replicas_per_gpu=4), "12.01 GiB more", "--replicas-per-gpu 3"),
        (10, Demand(8192), "3.00 GiB more", "--replicas-per-gpu 1 --concurrency 4"),
        (5.5, Demand(8192), "7.50 GiB more", "--concurrency 1 --max-model-len 4080"),
        (4, Demand(8192), "9.00 GiB more", "a GPU with 13.0 GiB, or weights with fewer bits"),
    ],
)
def test_over_commitment_is_refused_with_the_nearest_plan(
    memory_gib: float, demand: Demand, shortfall: str, nearest: str
) -> None:
    with pytest.raises(DoesNotFit) as caught:
        pack(SEVEN_B, int(memory_gib * GIB), PLAIN, demand)
    assert shortfall in str(caught.value) and nearest in str(caught.value)


def test_the_nearest_plan_does_fit() -> None:
    small = replace(Demand(8192), concurrency=1, max_model_len=4080)
    assert pack(SEVEN_B, int(5.5 * GIB), PLAIN, small).replicas_per_gpu == 1
    assert pack(SEVEN_B, 10 * GIB, PLAIN, replace(Demand(8192), concurrency=4)).binds == "kv_cache"


@given(
    memory_gib=st.floats(1, 300),
    weights=st.integers(1, 80 * GIB),
    per_token=st.integers(1, 20_000),
    length=st.integers(1, 40_000),
    concurrency=st.integers(1, 40),
    window=st.none() | st.integers(1, 9_000),
)
def test_a_plan_never_over_commits_and_never_leaves_room_for_one_more(
    memory_gib: float, weights: int, per_token: int, length: int, concurrency: int, window: int
) -> None:
    layers = (KvLayers(8, per_token), KvLayers(16, per_token, window))
    model = Footprint("m", weights, layers, GIB // 8, weights)
    demand = Demand(length, concurrency)
    overheads = Overheads()
    memory = int(memory_gib * GIB)
    try:
        plan = pack(model, memory, overheads, demand)
    except DoesNotFit:
        assert needed_bytes(model, overheads, demand) > usable_bytes(memory, overheads)
        return
    used = fixed_bytes(model, overheads) + plan.kv_cache_memory_bytes
    usable = usable_bytes(memory, overheads)
    k = plan.replicas_per_gpu
    assert plan.headroom_bytes == usable - k * used >= 0
    assert plan.max_concurrency > concurrency  # one block more, for the null block
    assert plan.kv_cache_memory_bytes % bytes_per_block(layers, 16) == 0
    assert (k + 1) * needed_bytes(model, overheads, demand) > usable or k == MAX_REPLICAS_PER_GPU
    assert k * plan.gpu_memory_utilization <= 1
    assert blocks_per_request(layers, demand) >= 1


@given(st.integers(1, MAX_REPLICAS_PER_GPU))
def test_k_shares_fit_one_gpu_and_k_plus_one_do_not(k: int) -> None:
    units = round(gpu_share(k) * 10_000)
    assert k * units <= 10_000 < (k + 1) * units


@given(first=st.floats(8, 200), more=st.floats(0, 200))
def test_a_larger_gpu_never_holds_fewer(first: float, more: float) -> None:
    demand = Demand(4096, 2)
    assume(int(first * GIB) >= needed_bytes(SEVEN_B, PLAIN, demand))
    small = pack(SEVEN_B, int(first * GIB), PLAIN, demand)
    large = pack(SEVEN_B, int((first + more) * GIB), PLAIN, demand)
    assert large.replicas_per_gpu >= small.replicas_per_gpu
