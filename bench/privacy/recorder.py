"""An upstream outside: keeps every byte that arrives, and answers, or not, as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

_HEAD = b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
LESSON = b'{"error": {"message": "Unsupported parameter: max_tokens", "param": "max_tokens"}}'


class Recorder:
    """The server; `how` says what the next requests meet."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.connections = 0
        self.how = "answers"
        self.tries = 0
        self.url = ""

    def begin(self, how: str) -> None:
        """Forget what came, and answer so from now on."""
        self.received.clear()
        self.connections, self.tries, self.how = 0, 0, how

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Recorder"]:
        """The server on a free port of this machine."""
        async with await asyncio.start_server(self._talk, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            yield self

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Cancelled is who still keeps a connection when all is over.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.received += head
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.received += body
                self.tries += 1
                answer = self._answer(json.loads(body))
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _answer(self, body: dict[str, Any]) -> bytes | None:
        first = self.tries == 1
        if self.how == "down" or (self.how == "refuses once" and first):
            return _HEAD % (b"503 No", b"application/json", 2) + b"{}"
        if self.how == "drops once" and first:
            return None
        if self.how == "unknown field" and "max_tokens" in body:
            return _HEAD % (b"400 No", b"application/json", len(LESSON)) + LESSON
        said = _last_text(body)
        if self.how == "answers json" or not body.get("stream"):
            return _document(said, "messages" in body)
        return _events(said, "messages" in body)


def _last_text(body: dict[str, Any]) -> str:
    """What was asked, said again: with the placeholders that stood in it."""
    if "prompt" in body:
        prompt = body["prompt"]
        return str(prompt if isinstance(prompt, str) else prompt[-1])
    return " ".join(_texts(body["messages"]))


def _texts(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    if isinstance(part, dict):
        return [text for key in ("content", "text") for text in _texts(part.get(key))]
    return [text for item in part or () for text in _texts(item)]


def _document(said: str, chat: bool) -> bytes:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    choice |= {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
    data = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
    return _HEAD % (b"200 OK", b"application/json", len(data)) + data


def _events(said: str, chat: bool) -> bytes:
    events = []
    for at in range(0, max(1, len(said)), 3):
        piece = said[at : at + 3]
        text: dict[str, Any] = {"delta": {"content": piece}} if chat else {"text": piece}
        events.append({"choices": [{"index": 0, **text}]})
    last: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
    events.append({"choices": [{"index": 0, "finish_reason": "stop", **last}]})
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    data += b"data: [DONE]\n\n"
    return _HEAD % (b"200 OK", b"text/event-stream", len(data)) + data
