"""The engine whose worker runs inside the EngineCore says, dies and stops as the other one does."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any

import psutil
import pytest

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import ReplicaUnavailable
from deployments.replicas.build_engine import vllm_environment
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

# vLLM, imported into the test, warns of much that is not ours.
pytestmark = [pytest.mark.timeout(280), pytest.mark.filterwarnings("ignore")]
PROMPTS = ("Name three rivers of Europe.", "What is the capital of France?", "Count to five.")


@asynccontextmanager
async def running(backend: str | None) -> AsyncIterator[Any]:
    extra = {} if backend is None else {"distributed-executor-backend": backend}
    config = VllmConfig(max_model_len=256, max_num_seqs=4, extra_args=extra)
    set_defaults({"OMP_NUM_THREADS": "1", **vllm_environment(config)})
    from deployments.vllm.engine import VllmEngine

    engine = VllmEngine(config, "small")
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def asked(prompt: str, **more: Any) -> EngineRequest:
    message = {"role": "user", "content": prompt}
    body = {"model": "small", "messages": [message], "temperature": 0, "max_tokens": 24, **more}
    return EngineRequest("chat", body, f"r-{prompt}")


async def said(engine: Any, prompt: str) -> str:
    async with aclosing(engine.generate(asked(prompt))) as answer:
        document = json.loads(b"".join([chunk.data async for chunk in answer]))
    return str(document["choices"][0]["message"]["content"])


def processes(others: Collection[psutil.Process] = ()) -> list[psutil.Process]:
    """vLLM's processes below this one, without those of other tests' engines."""
    below = psutil.Process().children(recursive=True)
    return [p for p in below if p.name().startswith("VLLM::") and p not in others]


async def test_it_says_the_same_in_one_process_less() -> None:
    others = processes()
    async with running("mp") as engine:
        apart = [await said(engine, prompt) for prompt in PROMPTS]
        assert {p.name() for p in processes(others)} == {"VLLM::EngineCore", "VLLM::Worker"}
    async with running(None) as engine:
        assert [p.name() for p in processes(others)] == ["VLLM::EngineCore"]
        assert [await said(engine, prompt) for prompt in PROMPTS] == apart

        # A reader who leaves frees the place.
        async with aclosing(engine.generate(asked("Tell me a story.", stream=True))) as answer:
            await anext(answer)
            assert engine.load().running == 1
        for _ in range(600):
            if not engine.load().running:
                break
            await asyncio.sleep(0.1)
        assert engine.load().running == 0

        # A killed EngineCore is a dead engine, and says so to who waits.
        async with aclosing(
            engine.generate(asked("Tell me a story.", stream=True, max_tokens=200))
        ) as answer:
            await anext(answer)
            processes(others)[0].kill()
            with pytest.raises(ReplicaUnavailable):
                async with asyncio.timeout(60):
                    async for _ in answer:
                        pass
        assert engine.dead()
    assert processes(others) == []
