"""Runs the one worker of a CPU engine inside vLLM's EngineCore process.

vLLM's CPU build turns its own `uni` executor into the multiprocess one, because a worker's OpenMP
threads are bound by variables that must be there before its process starts
(`platforms/cpu.py`, 0.32.0). The EngineCore then waits for that worker in a `sched_yield` loop, so
that one engine keeps two cores busy. An executor named by its import path is vLLM's own extension
point and is not replaced; the variables go to the EngineCore's process instead. On GPUs one worker
runs inside the EngineCore anyway (docs/decisions/0051-the-worker-inside-the-engine-core.md).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vllm.platforms import current_platform
from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.executor.uniproc_executor import UniProcExecutor

IN_CORE = "deployments.vllm.in_core_executor.InCoreExecutor"
# Options that make more than one worker, or workers elsewhere: those keep vLLM's own choice.
SPREADING = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "nnodes")


class InCoreExecutor(UniProcExecutor):
    """vLLM's executor for one worker in the EngineCore's own process, under a name that the CPU
    platform leaves as it is."""


def backend(options: Mapping[str, Any]) -> str | None:
    """The executor's import path where it fits these `vllm serve` options, else None."""
    if not current_platform.is_cpu() or any(options.get(name, 1) != 1 for name in SPREADING):
        return None
    return IN_CORE


@contextmanager
def openmp_environment(vllm_config: Any) -> Iterator[None]:
    """Start the EngineCore within this: it inherits what a worker process of its own would get.

    Nothing is set where threads are not bound, on a GPU, or where workers have processes.
    """
    if vllm_config.parallel_config.distributed_executor_backend != IN_CORE:
        yield
        return
    with OMPProcessManager(vllm_config).configure_omp_envs(rank=0, local_rank=0):
        yield
