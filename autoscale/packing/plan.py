"""How many replicas fit on one GPU and what each may hold: exact arithmetic on bytes.

Weights come from the checkpoint and KV figures from vLLM's block accounting, both exact. Memory
beside them comes from `Overheads`, every number of which can be replaced by a measured one.
"""

import math
from dataclasses import dataclass
from typing import Literal

from autoscale.packing.kv import (
    Demand,
    KvLayers,
    blocks_per_request,
    bytes_per_block,
    kv_capacity,
)

Binds = Literal["weights", "kv_cache", "replicas_per_gpu", "max_replicas"]

GIB = 1 << 30
# Ray counts a resource in ten-thousandths (ray 2.60 `fixed_point.h`), so 1/3 must be 0.3333.
SHARES_PER_GPU = 10_000
# Far below 100, where 1/k in ten-thousandths stops saying k.
MAX_REPLICAS_PER_GPU = 64


@dataclass(frozen=True, slots=True)
class Footprint:
    """One model as it lies in GPU memory."""

    name: str
    weights_bytes: int
    kv_layers: tuple[KvLayers, ...]
    activation_bytes: int
    # What a decode step of one token reads, and the part of a layer's experts that the token uses.
    active_weights_bytes: int
    parameters: int = 0
    expert_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Overheads:
    """GPU memory of one engine process beside weights, activations and KV cache."""

    # A PyTorch process with cuBLAS loaded. Assumption; nvidia-smi shows it on an idle process.
    cuda_context_bytes: int = 512 << 20
    # vLLM's "non_torch_memory" on one GPU: 0.20 to 0.30 GiB (vllm-project/vllm#14447, #15815).
    non_torch_bytes: int = 307 << 20
    # Captured CUDA graphs. Assumption; vLLM prints "Graph capturing finished ... took".
    cuda_graph_bytes: int = 614 << 20
    # Of the device, left free for fragmentation and the driver. Assumption.
    reserve_fraction: float = 0.02
    # Fraction of k engines' separate throughput that k engines on one GPU reach. Assumption: all.
    colocation_efficiency: float = 1.0
    # Time of a decode step in which the GPU waits for the host. Assumption.
    host_step_s: float = 0.003

    @property
    def bytes_per_replica(self) -> int:
        """What every engine process holds whatever model it serves."""
        return self.cuda_context_bytes + self.non_torch_bytes + self.cuda_graph_bytes


class DoesNotFit(ValueError):
    """The demand is more than the GPU has; the message states the shortfall and what would fit."""


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """k equal replicas on one GPU. `replicas_per_gpu * used bytes + headroom = usable bytes`."""

    replicas_per_gpu: int
    gpu_share: float
    weights_bytes: int
    overhead_bytes: int
    kv_bytes_per_token: int
    kv_cache_memory_bytes: int
    kv_tokens: int
    max_concurrency: float
    headroom_bytes: int
    usable_bytes: int
    gpu_memory_utilization: float
    binds: Binds


def needed_bytes(footprint: Footprint, overheads: Overheads, demand: Demand) -> int:
    """The least GPU memory of one replica that holds `concurrency` full requests at once.

    One block more than they fill: vLLM never hands out the first (`BlockPool.null_block`).
    """
    blocks = demand.concurrency * blocks_per_request(footprint.kv_layers, demand) + 1
    kv_bytes = blocks * bytes_per_block(footprint.kv_layers, demand.block_size)
    return fixed_bytes(footprint, overheads) + kv_bytes


def fixed_bytes(footprint: Footprint, overheads: Overheads) -> int:
    """What one replica holds before its first KV block."""
    return footprint.weights_bytes + footprint.activation_bytes + overheads.bytes_per_replica


def usable_bytes(gpu_memory_bytes: int, overheads: Overheads) -> int:
    """The GPU's memory without the reserve."""
    return int(gpu_memory_bytes * (1 - overheads.reserve_fraction))


def activation_bytes(
    hidden_size: int, intermediate_size: int, vocab_size: int, batched_tokens: int, seqs: int
) -> int:
    """Peak memory of one forward pass: the gated MLP's three and six hidden buffers, and logits.

    16-bit buffers for each batched token, two float32 logit rows for each sequence. vLLM's own
    profile of Llama-3-8B, 8192 tokens, 256 sequences, was 1.26 GiB (vllm-project/vllm#10511).
    >>> round(activation_bytes(4096, 14336, 128256, 8192, 256) / GIB, 2)
    1.28
    """
    buffers = 2 * batched_tokens * (3 * intermediate_size + 6 * hidden_size)
    return buffers + 8 * seqs * vocab_size


def gpu_share(replicas_per_gpu: int) -> float:
    """1/k in Ray's ten-thousandths, rounded down so that k shares fit one GPU.

    >>> gpu_share(3), gpu_share(4)
    (0.3333, 0.25)
    """
    return SHARES_PER_GPU // replicas_per_gpu / SHARES_PER_GPU


def utilization_of_share(share: float) -> float:
    """vLLM's `gpu-memory-utilization` for a replica that has a part of a GPU: half of that part.

    vLLM refuses to start unless so much of the *whole* GPU is free, before it looks at
    `kv_cache_memory_bytes`, which alone sizes the cache. Where k replicas fill the GPU, the last
    one finds its part less its own CUDA context; half of it is free wherever the part is twice a
    context, and no smaller part holds a model.
    >>> utilization_of_share(0.5)
    0.25
    """
    return math.floor(share * 5000) / 10_000


def pack(
    footprint: Footprint, gpu_memory_bytes: int, overheads: Overheads, demand: Demand
) -> GpuPlan:
    """The most replicas that each hold the demand, or exactly `replicas_per_gpu` of them.

    What the replicas leave is shared out as KV cache in whole blocks.
    Raises: `DoesNotFit` with the shortfall in GiB and the nearest plan that fits.
    """
    usable = usable_bytes(gpu_memory_bytes, overheads)
    need = needed_bytes(footprint, overheads, demand)
    most = min(usable // need, MAX_REPLICAS_PER_GPU)
    wanted = demand.replicas_per_gpu or most
    if wanted < 1 or wanted > most:
        raise DoesNotFit(_shortfall(footprint, usable, overheads, demand))
    fixed = fixed_bytes(footprint, overheads)
    kv = kv_capacity(usable // wanted - fixed, footprint.kv_layers, demand)
    kv_bytes = kv.blocks * bytes_per_block(footprint.kv_layers, demand.block_size)
    used = fixed + kv_bytes
    return GpuPlan(
        replicas_per_gpu=wanted,
        gpu_share=gpu_share(wanted),
        weights_bytes=footprint.weights_bytes,
        overhead_bytes=fixed - footprint.weights_bytes,
        kv_bytes_per_token=sum(k.layers * k.bytes_per_token for k in footprint.kv_layers),
        kv_cache_memory_bytes=kv_bytes,
        kv_tokens=kv.tokens,
        max_concurrency=kv.max_concurrency,
        headroom_bytes=usable - wanted * used,
        usable_bytes=usable,
        # vLLM wants this much free when its own CUDA context is there already.
        gpu_memory_utilization=(used - overheads.cuda_context_bytes)
        * 1000
        // gpu_memory_bytes
        / 1000,
        binds=_binding(demand, most, usable, fixed),
    )


def _binding(demand: Demand, most: int, usable: int, fixed: int) -> Binds:
    if demand.replicas_per_gpu is not None and demand.replicas_per_gpu < most:
        return "replicas_per_gpu"
    if most == MAX_REPLICAS_PER_GPU:
        return "max_replicas"
    return "weights" if (most + 1) * fixed > usable else "kv_cache"


def _shortfall(footprint: Footprint, usable: int, overheads: Overheads, demand: Demand) -> str:
    wanted = demand.replicas_per_gpu or 1
    need = needed_bytes(footprint, overheads, demand)
    return (
        f"{wanted} x {footprint.name} with {demand.concurrency} requests of {demand.max_model_len} "
        f"tokens need {wanted * need / GIB:.2f} GiB, {(wanted * need - usable) / GIB:.2f} GiB more "
        f"than the {usable / GIB:.2f} GiB of this GPU; nearest that fits: "
        + _nearest(footprint, usable, overheads, demand)
    )


def _nearest(footprint: Footprint, usable: int, overheads: Overheads, demand: Demand) -> str:
    """The plan closest to the refused one: fewer replicas, requests or tokens, or another GPU."""
    need = needed_bytes(footprint, overheads, demand)
    if need <= usable:
        return f"--replicas-per-gpu {usable // need}"
    left = max(0, usable - fixed_bytes(footprint, overheads))
    kv = kv_capacity(left, footprint.kv_layers, demand)
    requests = (kv.blocks - 1) // blocks_per_request(footprint.kv_layers, demand)
    if requests >= 1:
        return f"--replicas-per-gpu 1 --concurrency {requests}"
    if kv.blocks > 1 and all(kind.window_tokens is None for kind in footprint.kv_layers):
        context = (kv.blocks - 1) * demand.block_size
        return f"--replicas-per-gpu 1 --concurrency 1 --max-model-len {context}"
    gpu_gib = need / (1 - overheads.reserve_fraction) / GIB
    return f"a GPU with {gpu_gib:.1f} GiB, or weights with fewer bits"
