"""Where the frames of one answer wait for its reader, wherever they come from."""

import asyncio
from collections import deque

from deployments.protocol.errors import ServingError


class Inbox:
    """Frames in order, then perhaps an error; one reader."""

    __slots__ = ("_error", "_frames", "_reader", "_taken", "begun", "size_bytes")

    def __init__(self) -> None:
        self.size_bytes = 0
        self.begun = False
        self._frames: deque[bytes] = deque()
        self._error: ServingError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._taken = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Add a frame; what comes after an error is dropped."""
        if self._error is None:
            self.begun = True
            self._frames.append(frame)
            self.size_bytes += len(frame)
            self._wake()

    async def taken(self) -> None:
        """Return when the reader has taken all that is here."""
        self._taken.clear()
        if self._frames:
            await self._taken.wait()

    def fail(self, error: ServingError) -> None:
        """Raise this once everything before it has been read; the first error stands."""
        if self._error is None:
            self._error = error
            self._wake()

    async def take(self) -> list[bytes]:
        """All frames that are here, at least one. Raises: the error."""
        if not self._frames and self._error is None:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._frames and self._error is not None:
            raise self._error
        taken = list(self._frames)
        self._frames.clear()
        self.size_bytes = 0
        self._taken.set()
        return taken

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
