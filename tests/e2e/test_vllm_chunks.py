"""What the gateway is told beside vLLM's bytes is what vLLM would have said in them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from deployments.protocol.chunk import Chunk
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import DeadlineExceeded, UnknownModel
from deployments.replicas.build_engine import vllm_environment
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

# vLLM, imported into the test, warns of much that is not ours.
pytestmark = [pytest.mark.timeout(280), pytest.mark.filterwarnings("ignore")]
CONFIG = VllmConfig(max_model_len=512, max_num_seqs=4)


@pytest.fixture
async def engine() -> AsyncIterator[Any]:
    set_defaults(vllm_environment(CONFIG))
    from deployments.vllm.engine import VllmEngine

    engine = VllmEngine(CONFIG, "m")
    await engine.start()
    yield engine
    await engine.stop()


def asked(endpoint: Any = "chat", timeout_s: float | None = None, **fields: Any) -> EngineRequest:
    question: dict[str, Any] = {"prompt": ["The sky is", "Water is wet because it"]}
    if endpoint == "chat":
        question = {"messages": [{"role": "user", "content": "Name three rivers."}]}
    body = {"model": "m", "temperature": 0, "max_tokens": 8, **question, **fields}
    return EngineRequest(endpoint, body, f"r-{json.dumps(fields)}", timeout_s=timeout_s)


async def answered(engine: Any, request: EngineRequest) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(request)]


def documents(chunks: list[Chunk]) -> list[dict[str, Any]]:
    events = b"".join(chunk.data for chunk in chunks).split(b"\n\n")
    return [json.loads(event.removeprefix(b"data: ")) for event in events if event]


async def idle(engine: Any) -> bool:
    for _ in range(100):
        if engine.load().running + engine.load().waiting == 0:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_chunks_say_what_vllm_says(engine: Any) -> None:
    cases: list[dict[str, Any]] = [{}, {"n": 2}, {"endpoint": "completions"}]
    for fields in cases:
        usage_too: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = await answered(engine, asked(**usage_too, **fields))
        told = documents(chunks)
        counted = told[-1]["usage"]
        assert [c.done for c in chunks] == [False] * (len(chunks) - 1) + [True]
        assert chunks[-1].usage == (counted["prompt_tokens"], counted["completion_tokens"])
        grown = [chunk.usage.completion_tokens for chunk in chunks]
        assert grown == sorted(grown) and grown[0] < grown[-1]
        for chunk in chunks[:-1]:
            (event,) = documents([chunk])
            choices = event["choices"]
            said = any(c.get("text") or c.get("delta", {}).get("content") for c in choices)
            ended = next((c["finish_reason"] for c in choices if c["finish_reason"]), None)
            assert (chunk.content, chunk.finish_reason) == (said, ended)
        silent = documents(await answered(engine, asked(stream=True, **fields)))
        assert not any("usage" in event for event in silent)
        *before, whole = await answered(engine, asked(**fields))
        assert not any(chunk.data or chunk.done for chunk in before)
        assert (whole.usage, whole.done, whole.content) == (chunks[-1].usage, True, True)
        assert whole.finish_reason == "length"

    with pytest.raises(UnknownModel, match="the parameter 'model'"):
        await answered(engine, asked(model="other"))
    for stream in (True, False):
        with pytest.raises(DeadlineExceeded):
            await answered(engine, asked(max_tokens=400, timeout_s=1.0, stream=stream))
        assert await idle(engine)

    for stream in (True, False):
        # Not over by itself before its client leaves.
        left: Any = engine.generate(asked(max_tokens=400, stream=stream, ignore_eos=True))
        await anext(left)
        so_far = await anext(left)
        while not so_far.usage.completion_tokens:  # the prompt is still being read
            so_far = await anext(left)
        # What a client that leaves has cost, of a document too.
        assert so_far.usage.prompt_tokens > 0 and so_far.usage.completion_tokens > 0
        assert engine.load().running == 1
        await left.aclose()
        assert await idle(engine)

    unread: Any = engine.generate(asked(max_tokens=4, stream=True))
    await anext(unread)
    assert await idle(engine)  # the engine has finished, though nobody reads
    await unread.aclose()


@pytest.mark.parametrize("stream", [True, False])
async def test_log_probabilities_come_beside_the_bytes_and_not_in_them(
    engine: Any, stream: bool
) -> None:
    wanted = replace(asked(stream=stream), logprobs=True)
    chunks = await answered(engine, wanted)
    values = [value for chunk in chunks for value in chunk.logprobs]
    assert len(values) == chunks[-1].usage.completion_tokens == 8
    assert all(value <= 0 for value in values)
    assert len(set(values)) > 1
    plain = await answered(engine, asked(stream=stream))
    assert not any(chunk.logprobs for chunk in plain)
    # vLLM writes `"logprobs":null` into an event; a value would stand under `"logprob":`.
    assert b'"logprob":' not in b"".join(chunk.data for chunk in (*chunks, *plain))
    # A client that asks for its own gets them, and they are the same.
    if not stream:
        said = documents(await answered(engine, asked(logprobs=True)))[0]["choices"][0]["logprobs"]
        assert [token["logprob"] for token in said["content"]] == pytest.approx(values, abs=1e-4)
