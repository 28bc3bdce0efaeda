"""Every replica of a shared GPU passes vLLM's own check of free memory when it starts."""

from types import SimpleNamespace

import pytest

from autoscale.packing.gpus import CATALOGUE, GIB, Gpu
from autoscale.packing.kv import Demand, KvLayers
from autoscale.packing.plan import (
    DoesNotFit,
    Footprint,
    Overheads,
    gpu_share,
    pack,
    utilization_of_share,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # vLLM's import
MODELS = {
    "7B INT4": Footprint("7B INT4", int(3.9 * GIB), (KvLayers(32, 4096),), GIB // 4, 0),
    "0.5B INT4": Footprint("0.5B INT4", GIB // 3, (KvLayers(24, 512),), GIB // 8, 0),
}


def check(total: int, held: int, utilization: float) -> None:
    """vLLM's check for a process that finds `held` bytes taken. Raises: ValueError."""
    from vllm.v1.worker.utils import request_memory

    snapshot = SimpleNamespace(total_memory=total, free_memory=total - held, device_="cuda:0")
    request_memory(snapshot, SimpleNamespace(gpu_memory_utilization=utilization))


@pytest.mark.parametrize("gpu", CATALOGUE.values(), ids=CATALOGUE)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("context_mib", [300, 512])
def test_the_last_replica_of_a_plan_starts(gpu: Gpu, model: Footprint, context_mib: int) -> None:
    overheads = Overheads(cuda_context_bytes=context_mib << 20)
    try:
        plan = pack(model, gpu.memory_bytes, overheads, Demand(2048, 4))
    except DoesNotFit:
        pytest.skip("one does not fit")
    used = (plan.usable_bytes - plan.headroom_bytes) // plan.replicas_per_gpu
    for before in range(plan.replicas_per_gpu):
        held = before * used + overheads.cuda_context_bytes
        check(gpu.memory_bytes, held, plan.gpu_memory_utilization)
        check(gpu.memory_bytes, held, utilization_of_share(plan.gpu_share))


def test_vllm_s_default_refuses_the_second_replica() -> None:
    """What the share is for: without it, half a GPU is not enough."""
    card = CATALOGUE["a10g"]
    with pytest.raises(ValueError, match="Free memory on device"):
        check(card.memory_bytes, 11 * GIB, 0.92)
    check(card.memory_bytes, 11 * GIB, utilization_of_share(gpu_share(2)))
