"""An upstream that answers as its script says, byte by byte, and the engine in front of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import ServingError
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.engine import UpstreamEngine

Step = bytes | float  # bytes to write, or seconds to wait; FOREVER: until the client leaves
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FOREVER = -1.0
HANG_UP = -2.0


def framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def refused(status: int, extra: str = "") -> list[Step]:
    return [f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n{extra}\r\n".encode()]


def sse(*chunks: bytes) -> list[Step]:
    return [OK, *map(framed, chunks), b"0\r\n\r\n"]


def said(text: str, **more: Any) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]} | more
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def chat(*, stream: bool = True, **fields: Any) -> EngineRequest:
    parts = {"local_only", "timeout_s"}
    body = {"model": "large", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    body |= {"stream": stream} | {key: fields[key] for key in fields.keys() - parts}
    return EngineRequest("chat", body, "r1", **{key: fields[key] for key in fields.keys() & parts})


@contextlib.asynccontextmanager
async def upstream(
    url: str, key: str | None = "right", **fields: Any
) -> AsyncIterator[UpstreamEngine]:
    settings: dict[str, Any] = {"api_key_env": "BIG_KEY" if key else None, "retry_backoff_s": 0.001}
    settings |= {"max_retry_wait_s": 0.5} | fields
    engine = UpstreamEngine(
        UpstreamConfig(base_url=url, model="big-1", **settings), key, PrivacyConfig()
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def answered(engine: UpstreamEngine, request: EngineRequest) -> tuple[bytes, Usage]:
    """The bytes and the cost of an answer, whose last chunk alone is done."""
    chunks = [chunk async for chunk in engine.generate(request)]
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return b"".join(chunk.data for chunk in chunks), chunks[-1].usage


async def failed(engine: UpstreamEngine, request: EngineRequest) -> tuple[int, ServingError]:
    """How many chunks with bytes came before the error, and the error."""
    items = 0
    with pytest.raises(ServingError) as caught:
        async for chunk in engine.generate(request):
            items += bool(chunk.data)
    assert engine.load().running == 0
    return items, caught.value


def events(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(part.removeprefix(b"data: ")) for part in raw.split(b"\n\n") if part]


class Script:
    """One answer per request; the last one is given again. An empty answer drops the connection."""

    def __init__(self, answers: Sequence[Sequence[Step]]) -> None:
        self._answers = answers
        self.talks: list[asyncio.Task[None]] = []
        self.bodies: list[dict[str, Any]] = []
        self.heads: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.talks.append(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:  # who is cancelled with its test leaves no open socket to another one's
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        self.heads.append(head)
        self.bodies.append(json.loads(await reader.readexactly(length)))
        steps = self._answers[min(len(self.bodies), len(self._answers)) - 1]
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step == HANG_UP:
                return False
            elif step == FOREVER:
                await reader.read()
            else:
                await asyncio.sleep(step)
        return bool(steps)


@contextlib.asynccontextmanager
async def scripted(
    *answers: Sequence[Step], **settings: Any
) -> AsyncIterator[tuple[UpstreamEngine, Script]]:
    script = Script(answers)
    server = await asyncio.start_server(script.talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        async with upstream(url, **settings) as engine:
            yield engine, script
        await asyncio.gather(*script.talks)
