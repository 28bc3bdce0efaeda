"""An OpenAI-compatible upstream that breaks in one chosen way, byte by byte."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable

HEAD = "HTTP/1.1 {}\r\ncontent-type: {}\r\nconnection: close\r\n{}\r\n"
GOOD = "the answer is complete"
WORDS = GOOD.split(" ")
# Longer than any patience in the run.
LONG_S = 30.0
HUGE_BYTES = 80 * 2**20

Write = Callable[[bytes], Awaitable[None]]


def document(text: str = GOOD) -> bytes:
    """A whole JSON answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**body, "choices": [choice], "usage": usage}).encode()


def event(text: str | None, finish: str | None = None) -> bytes:
    """One event of a streamed answer."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**body, "choices": [choice]}).encode() + b"\n\n"


def head(status: str = "200 OK", kind: str = "text/event-stream", more: str = "") -> bytes:
    """A response's head."""
    return HEAD.format(status, kind, more).encode()


async def good(write: Write, stream: bool) -> None:
    """Answer as asked."""
    if not stream:
        await write(head(kind="application/json") + document())
        return
    await write(head())
    for at, word in enumerate(WORDS):
        await write(event(word if at == 0 else f" {word}"))
    await write(event(None, "stop") + b"data: [DONE]\n\n")


async def _begun(write: Write) -> None:
    await write(head() + event(WORDS[0]) + event(f" {WORDS[1]}"))


async def slow_headers(write: Write, _: bool) -> None:
    """Say nothing."""
    await asyncio.sleep(LONG_S)


async def slow_first_token(write: Write, _: bool) -> None:
    """Say that it goes well, and nothing more."""
    await write(head() + event(""))
    await asyncio.sleep(LONG_S)


async def stall(write: Write, _: bool) -> None:
    """Begin, and fall silent."""
    await _begun(write)
    await asyncio.sleep(LONG_S)


async def cut(write: Write, _: bool) -> None:
    """Begin, and hang up."""
    await _begun(write)


async def cut_before_token(write: Write, _: bool) -> None:
    """Hang up after the head."""
    await write(head() + event(""))


async def malformed_sse(write: Write, _: bool) -> None:
    """Begin with an event that is not JSON."""
    await write(head() + b"data: {nonsense\n\n")


async def malformed_json(write: Write, _: bool) -> None:
    """Give a document that is cut."""
    await write(head(kind="application/json") + document()[:40])


async def truncated_gzip(write: Write, _: bool) -> None:
    """Compress, and leave out the end."""
    packed = gzip.compress(document() * 10)
    more = "content-encoding: gzip\r\n"
    await write(head(kind="application/json", more=more) + packed[: len(packed) // 2])


async def huge(write: Write, _: bool) -> None:
    """Give a document that does not end."""
    await write(head(kind="application/json") + b'{"choices": "')
    for _part in range(HUGE_BYTES // 2**16):
        await write(b"x" * 2**16)


async def wrong_type(write: Write, _: bool) -> None:
    """Give a page."""
    await write(head(kind="text/html") + b"<html><body>We are busy</body></html>")


def refusing(status: str, more: str = "") -> Callable[[Write, bool], Awaitable[None]]:
    """Refuse with a status."""

    async def refuse(write: Write, _: bool) -> None:
        body = json.dumps({"error": {"message": "no", "type": "x", "code": None}}).encode()
        await write(head(status, "application/json", more) + body)

    return refuse


FAULTS: dict[str, Callable[[Write, bool], Awaitable[None]]] = {
    "slow headers": slow_headers,
    "slow first token": slow_first_token,
    "cut before the first token": cut_before_token,
    "malformed SSE": malformed_sse,
    "malformed JSON": malformed_json,
    "429": refusing("429 Too Many Requests"),
    "429, retry-after 20 s": refusing("429 Too Many Requests", "retry-after: 20\r\n"),
    "500": refusing("500 Internal Server Error"),
    "503": refusing("503 Service Unavailable"),
    "truncated gzip": truncated_gzip,
    "a body of 80 MiB": huge,
    "wrong content type": wrong_type,
    "redirect": refusing("302 Found", "location: http://no-such-host.invalid/\r\n"),
    "key rejected": refusing("401 Unauthorized"),
    "stall in mid-stream": stall,
    "cut in mid-stream": cut,
}


@contextlib.asynccontextmanager
async def upstream(
    answer: Callable[[Write, bool], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve one way of answering; gives the base URL."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await reader.readuntil(b"\r\n\r\n")
            length = int(request.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            await answer(write, bool(body.get("stream")))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
