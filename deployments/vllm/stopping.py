"""Ends vLLM's engine client and all that it leaves open."""

import asyncio
import gc

from vllm.v1.engine.async_llm import AsyncLLM


async def stop(llm: AsyncLLM) -> None:
    """End the engine's processes, the client's sockets and their context.

    The caller drops the client afterwards: its `__del__` fails where the interpreter's own end is
    what collects it.
    """
    if llm.output_handler is not None:
        llm.output_handler.cancel()  # it takes the end of the processes for their death
    await asyncio.to_thread(llm.shutdown)
    # The sockets close on this loop, in its next turn; the context, which vLLM 0.32 leaves to the
    # collector, waits for them.
    await asyncio.sleep(0)
    llm.engine_core.resources.ctx.destroy(linger=0)
    gc.collect()
