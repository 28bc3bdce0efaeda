"""Decode throughput bound by memory bandwidth: of k replicas on a GPU, and of one.

A decode step of b requests reads the weights that they use once and each request's KV cache, and
multiplies b tokens with the weights (roofline: Williams et al., CACM 52(4), 2009). k engines on one
GPU take turns on it; while one waits for its host, another computes. An upper bound: real kernels
reach part of the bandwidth.
"""

from dataclasses import dataclass
from typing import Literal

from autoscale.packing.gpus import Gpu
from autoscale.packing.kv import Demand, KvLayers
from autoscale.packing.plan import Footprint, GpuPlan, Overheads

# One engine with a bigger batch must win by this much before it is recommended over isolation.
# Below it the difference is within the error of the assumptions above.
WORTHWHILE_GAIN = 1.05
RoofBinds = Literal["bandwidth", "arithmetic", "host"]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Decode rates of all replicas on the GPU together and of one request, in tokens/s."""

    replicas_per_gpu: int
    batch_per_replica: int
    tokens_per_s: float
    tokens_per_s_per_request: float
    binds: RoofBinds
    """What decoding waits for: reading weights and KV cache, multiplying, or, for more than half of
    the time, the host."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """k packed replicas beside one with the whole GPU, and which to take."""

    packed: Throughput
    single: Throughput
    replicas_per_gpu: int
    reason: str


def kv_read_bytes(kv_layers: tuple[KvLayers, ...], context_tokens: int) -> int:
    """Bytes of KV cache that one decode step reads for a request of that length."""
    return sum(
        kind.layers
        * kind.bytes_per_token
        * min(context_tokens, kind.window_tokens or context_tokens)
        for kind in kv_layers
    )


def weights_read_bytes(footprint: Footprint, batch: int) -> float:
    """Bytes of weights that one decode step of `batch` requests reads.

    An expert is read once, however many requests use it; each request chooses on its own.
    >>> two_of_eight = Footprint("m", 9_000, (), 0, 3_000, expert_fraction=0.25)
    >>> [round(weights_read_bytes(two_of_eight, batch)) for batch in (1, 2, 32)]
    [3000, 4500, 8999]
    """
    idle_bytes = footprint.weights_bytes - footprint.active_weights_bytes
    return footprint.weights_bytes - idle_bytes * (1 - footprint.expert_fraction) ** (batch - 1)


def _step_parts_s(
    footprint: Footprint, gpu: Gpu, batch: int, context_tokens: int
) -> tuple[float, float]:
    """Least seconds for which one decode step of one engine reads memory, and multiplies."""
    kv_bytes = batch * kv_read_bytes(footprint.kv_layers, context_tokens)
    read_s = (weights_read_bytes(footprint, batch) + kv_bytes) / (gpu.bandwidth_gb_per_s * 1e9)
    # Two operations for each weight and token.
    share = footprint.active_weights_bytes / footprint.weights_bytes
    return read_s, 2 * footprint.parameters * share * batch / (gpu.tflops * 1e12)


def gpu_step_s(footprint: Footprint, gpu: Gpu, batch: int, context_tokens: int) -> float:
    """Least seconds of one decode step of one engine: the slower of reading and multiplying."""
    return max(_step_parts_s(footprint, gpu, batch, context_tokens))


def throughput(
    footprint: Footprint, gpu: Gpu, plan: GpuPlan, overheads: Overheads, demand: Demand
) -> Throughput:
    """The plan's decode rate with every replica's batch as full as its KV cache allows."""
    batch = max(1, min(demand.max_num_seqs, int(plan.max_concurrency)))
    k = plan.replicas_per_gpu
    read_s, multiply_s = _step_parts_s(footprint, gpu, batch, demand.max_model_len)
    step_s = max(read_s, multiply_s)
    # k engines share the GPU: a round lasts k steps, or one step and the host's part if longer.
    gpu_round_s = k * step_s / (overheads.colocation_efficiency if k > 1 else 1)
    round_s = max(gpu_round_s, step_s + overheads.host_step_s)
    binds: RoofBinds = "bandwidth" if read_s >= multiply_s else "arithmetic"
    if 2 * gpu_round_s < round_s:
        binds = "host"
    return Throughput(k, batch, k * batch / round_s, 1 / round_s, binds)


def recommend(packed: Throughput, single: Throughput) -> Recommendation:
    """One replica where its larger batch pays, otherwise the packed ones."""
    gain = single.tokens_per_s / packed.tokens_per_s
    k = packed.replicas_per_gpu
    if k > 1 and gain >= WORTHWHILE_GAIN:
        reason = (
            f"one replica with a batch of {single.batch_per_replica} decodes {gain:.2f} times as "
            f"fast as {k} with {packed.batch_per_replica} each: the weights are read once a step, "
            f"not {k} times, and the memory they leave holds more requests. Take {k} for "
            "different models, or to lose 1 replica and not all when an engine dies"
        )
        return Recommendation(packed, single, 1, reason)
    if k > 1:
        reason = (
            f"{k} replicas decode {1 / gain:.2f} times as fast as one with the whole GPU: "
            "while one waits for its host another computes, and a dead engine costs one share"
        )
        return Recommendation(packed, single, k, reason)
    return Recommendation(packed, single, 1, "one replica is what fits or what was asked for")
