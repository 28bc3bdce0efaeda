"""The roofline by hand, and which of packing and batching it recommends."""

import pytest

from autoscale.packing.gpus import Gpu
from autoscale.packing.kv import Demand, KvLayers
from autoscale.packing.plan import GIB, Footprint, Overheads, pack
from autoscale.packing.throughput import (
    Throughput,
    gpu_step_s,
    kv_read_bytes,
    recommend,
    throughput,
    weights_read_bytes,
)

GPU = Gpu("test", 80, 1000, 100, "made up")
MODEL = Footprint("m", 4 * 10**9, (KvLayers(32, 4096),), 0, 4 * 10**9, 7 * 10**9)


def test_a_window_bounds_what_a_step_reads() -> None:
    layers = (KvLayers(1, 10), KvLayers(2, 10, 100))
    assert kv_read_bytes(layers, 50) == 3 * 500
    assert kv_read_bytes(layers, 1000) == 10_000 + 2 * 1000


@pytest.mark.parametrize(
    ("batch", "context", "step_s"),
    [
        # (4e9 + 1 x 1000 x 131072) / 1e12
        (1, 1000, 4.131072e-3),
        (10, 1000, 5.31072e-3),
        # 2 x 7e9 x 1000 / 1e14 is more than (4e9 + 1000 x 131072) / 1e12
        (1000, 1, 0.14),
    ],
)
def test_a_step_takes_the_slower_of_reading_and_multiplying(
    batch: int, context: int, step_s: float
) -> None:
    assert gpu_step_s(MODEL, GPU, batch, context) == pytest.approx(step_s)


def test_a_larger_batch_reads_more_experts() -> None:
    # 8 of 9 GB are experts, a token uses one in four: 1 + 8 x (1 - 0.75 ** batch).
    model = Footprint("moe", 9 * 10**9, (), 0, 3 * 10**9, expert_fraction=0.25)
    for batch in (1, 2, 10):
        expected = 1 + 8 * (1 - 0.75**batch)
        assert weights_read_bytes(model, batch) == pytest.approx(expected * 1e9)
    assert gpu_step_s(model, GPU, 2, 1) == pytest.approx(4.5e-3)
    assert weights_read_bytes(MODEL, 50) == MODEL.weights_bytes


def rate(k: int, demand: Demand, **overheads: float) -> Throughput:
    # Keyword overheads replace the assumptions.
    costs = Overheads(0, 0, 0, 0.0, **overheads)
    demand = Demand(demand.max_model_len, demand.concurrency, replicas_per_gpu=k)
    plan = pack(MODEL, 80 * GIB, costs, demand)
    return throughput(MODEL, GPU, plan, costs, demand)


def test_the_batch_is_what_the_kv_cache_holds() -> None:
    # (80 GiB - 4e9 bytes) // 2 MiB = 39,052 blocks, 512 for each request: 76.3 requests.
    single = rate(1, Demand(8192), host_step_s=0.0)
    assert single.batch_per_replica == 76
    step_s = (4e9 + 76 * 8192 * 131_072) / 1e12
    assert single.tokens_per_s == pytest.approx(76 / step_s)


def test_one_large_batch_beats_four_replicas_when_memory_bandwidth_binds() -> None:
    packed, single = (rate(k, Demand(8192), host_step_s=0.0) for k in (4, 1))
    advice = recommend(packed, single)
    assert single.batch_per_replica > 4 * packed.batch_per_replica
    assert advice.replicas_per_gpu == 1
    assert "not 4 times" in advice.reason


def test_packing_pays_when_the_host_is_slow_and_batches_are_full() -> None:
    # 256 short requests are vLLM's limit either way: four replicas hold four times as many.
    packed, single = (rate(k, Demand(256), host_step_s=1.0) for k in (4, 1))
    assert packed.batch_per_replica == single.batch_per_replica == 256
    assert packed.tokens_per_s == pytest.approx(4 * single.tokens_per_s, rel=0.01)
    assert recommend(packed, single).replicas_per_gpu == 4


def test_measured_contention_counts_against_packing() -> None:
    whole, half = (
        rate(4, Demand(8192), host_step_s=0.0, colocation_efficiency=c) for c in (1.0, 0.5)
    )
    assert half.tokens_per_s == pytest.approx(whole.tokens_per_s / 2)


@pytest.mark.parametrize(
    ("host_step_s", "tflops", "binds"),
    [(0.0, 100, "bandwidth"), (0.0, 0.1, "arithmetic"), (1.0, 100, "host")],
)
def test_a_step_names_what_it_waits_for(host_step_s: float, tflops: float, binds: str) -> None:
    costs, demand = Overheads(0, 0, 0, 0.0, host_step_s=host_step_s), Demand(8192)
    plan = pack(MODEL, 80 * GIB, costs, demand)
    assert throughput(MODEL, GPU._replace(tflops=tflops), plan, costs, demand).binds == binds
