"""One engine start at a time per GPU.

Two vLLM engines that start together on one GPU measure each other's memory: one got 1.84 GiB of KV
cache instead of 4.72, the other -3.21 GiB and a crash (vllm#55827).
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from filelock import AsyncFileLock


def lock_path(gpu: str) -> Path:
    """The lock file of a GPU on this node; every replica on the node finds the same one."""
    safe = "".join(c if c.isalnum() or c in "-." else "_" for c in gpu)
    return Path(tempfile.gettempdir()) / f"smallfirst-start-gpu-{safe}.lock"


@asynccontextmanager
async def start_lock(gpus: list[str]) -> AsyncIterator[None]:
    """Hold the start lock of every GPU in `gpus`; none on CPU, where starts do not measure memory.

    Taken in sorted order, so that two replicas that span GPUs cannot wait for each other. The lock
    falls with the process that holds it.
    """
    async with AsyncExitStack() as held:
        for gpu in sorted(gpus):
            await held.enter_async_context(AsyncFileLock(lock_path(gpu)))
        yield
