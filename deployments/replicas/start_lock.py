"""One engine start at a time per GPU.

Two vLLM engines that start together on one GPU measure each other's memory: one got 1.84 GiB of KV
cache instead of 4.72, the other -3.21 GiB and a crash (vllm#55827).
"""

import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from filelock import AsyncFileLock, Timeout

log = logging.getLogger("ray.serve")

# A start that takes longer than this hangs; the others on its GPU do not wait for it any more.
START_LIMIT_S = 900.0
# Every user of the machine starts engines on its GPUs.
SHARED = 0o666


def lock_path(gpu: str) -> Path:
    """The lock file of a GPU on this node; every replica on the node finds the same one."""
    safe = "".join(c if c.isalnum() or c in "-." else "_" for c in gpu)
    return Path(tempfile.gettempdir()) / f"smallfirst-start-gpu-{safe}.lock"


@asynccontextmanager
async def start_lock(gpus: list[str], limit_s: float = START_LIMIT_S) -> AsyncIterator[None]:
    """Hold the start lock of every GPU in `gpus`; none on CPU, where starts do not measure memory.

    Taken in sorted order, so that two replicas that span GPUs cannot wait for each other. The lock
    falls with the process that holds it. A lock that is not to be had, within `limit_s` seconds or
    at all, is left to whoever holds it, and the start goes on without.
    """
    async with AsyncExitStack() as held:
        for gpu in sorted(gpus):
            lock = AsyncFileLock(lock_path(gpu), timeout=limit_s, mode=SHARED)
            try:
                await held.enter_async_context(lock)
            except (Timeout, PermissionError) as error:
                log.warning("GPU %s: %s; starting beside whoever holds it", gpu, error)
        yield
