"""Each chunk of an upstream's answer says what has been produced, so that it can be booked."""

import json
from typing import Any

import pytest

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.errors import EngineFailure
from deployments.upstream import engine as upstream_engine
from tests.scripted_upstream import (
    DONE,
    FOREVER,
    HANG_UP,
    OK,
    ROLE,
    Step,
    chat,
    framed,
    said,
    scripted,
    sse,
)

ENDED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
COUNTED = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}\n\n'
PAUSE = 0.02  # so that what follows is another read


async def until_error(engine: Any, request: Any) -> list[Chunk]:
    chunks: list[Chunk] = []
    with pytest.raises(EngineFailure):
        async for chunk in engine.generate(request):
            chunks.append(chunk)  # noqa: PERF401  # those before the error are wanted
    return chunks


async def test_chunks_say_what_they_carry() -> None:
    steps: list[Step] = [OK, framed(ROLE), PAUSE, framed(said("a")), PAUSE, framed(said("b"))]
    steps += [PAUSE, framed(ENDED + COUNTED + DONE), b"0\r\n\r\n"]
    async with scripted(steps) as (engine, _):
        chunks = [chunk async for chunk in engine.generate(chat())]
    *tokens, last = chunks
    assert all(chunk.content and not chunk.done for chunk in tokens)
    assert tokens[0].data.startswith(ROLE + said("a"))
    assert tokens[-1].usage.completion_tokens == 2
    assert last == Chunk(ENDED, Usage(9, 7), finish_reason="length", done=True)


async def test_reasoning_is_content_and_goes_out_at_once() -> None:
    event = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}
    thought = b"data: " + json.dumps(event).encode() + b"\n\n"
    async with scripted([OK, framed(ROLE + thought), FOREVER]) as (engine, _):
        answer = engine.generate(chat())
        first = await anext(answer)
        await answer.aclose()
    assert (first.content, first.usage.completion_tokens) == (True, 1)
    assert first.data == ROLE + thought


@pytest.mark.parametrize("counts", [{}, {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}])
async def test_client_that_leaves_has_had_what_came(counts: dict[str, Any]) -> None:
    token = said("a", **counts)
    async with scripted([OK, framed(token * 40), FOREVER]) as (engine, _):
        usage, answer = Usage(0, 0), engine.generate(chat(messages=[{"content": "x" * 400}]))
        async for chunk in answer:
            usage = chunk.usage
            if usage.completion_tokens == 40:
                break
        await answer.aclose()
    assert usage == Usage(9 if counts else 100, 40)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param([HANG_UP], id="cut"),
        pytest.param([b"0\r\n\r\n"], id="ended early"),
        pytest.param([framed(said("c") + b"data: {\n\n")], id="malformed"),
        pytest.param([framed(said("c") + b'data: {"error": {"code": 500}}\n\n')], id="error"),
    ],
)
async def test_broken_answer_has_cost_what_came(broken: list[Step]) -> None:
    steps: list[Step] = [OK, framed(said("a") + said("b")), PAUSE, *broken]
    async with scripted(steps) as (engine, _):
        chunks = await until_error(engine, chat())
    came = 3 if b"content" in (broken[0] if isinstance(broken[0], bytes) else b"") else 2
    assert chunks[-1].usage.completion_tokens == came
    assert not any(chunk.done for chunk in chunks)


async def test_document_that_is_put_together_is_accounted_for_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_engine, "PROGRESS_S", 0.0)
    async with scripted([OK, framed(said("a") * 3), FOREVER]) as (engine, _):
        answer = engine.generate(chat(stream=False))
        chunk = await anext(answer)
        await answer.aclose()
    assert (chunk.data, chunk.content, chunk.done) == (b"", False, False)
    assert chunk.usage.completion_tokens == 3


async def test_usage_of_a_whole_answer_is_the_upstreams() -> None:
    async with scripted(sse(said("a"), ENDED, COUNTED, DONE)) as (engine, _):
        for stream in (True, False):
            chunks = [chunk async for chunk in engine.generate(chat(stream=stream))]
            assert (chunks[-1].usage, chunks[-1].done) == (Usage(9, 7), True)
