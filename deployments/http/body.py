"""A request's body: within the size limit, and before the deadline."""

import asyncio
from dataclasses import replace

from starlette.requests import Request

from deployments.gateway.answering import Hints
from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import BodyTooLarge, DeadlineExceeded
from deployments.protocol.openai_request import ParsedRequest, parse
from deployments.settings.app import GatewayConfig

# Parsing takes up to 10 ns a byte: a longer body holds the event loop for a millisecond and more.
PARSED_ASIDE_BYTES = 64 * 1024


async def read_body(request: Request, asked: Hints, limits: GatewayConfig) -> tuple[bytes, Hints]:
    """The body, and the hints with what its arrival left of the client's time.

    Raises: `BodyTooLarge`, `DeadlineExceeded`.
    """
    loop = asyncio.get_running_loop()
    by_s = loop.time() + min(asked.timeout_s or limits.max_request_s, limits.max_request_s)
    try:
        async with asyncio.timeout_at(by_s):
            raw = await _read(request, limits.max_body_bytes)
    except TimeoutError:
        raise DeadlineExceeded("The deadline passed before the body was here.") from None
    return raw, replace(asked, timeout_s=max(by_s - loop.time(), 1e-3))


async def parse_body(endpoint: Endpoint | None, raw: bytes) -> ParsedRequest:
    """`parse`, beside the event loop where it takes long enough to hold up every open stream."""
    if len(raw) > PARSED_ASIDE_BYTES:
        return await asyncio.to_thread(parse, endpoint, raw)
    return parse(endpoint, raw)


async def _read(request: Request, limit_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be over the limit."""
    too_large = BodyTooLarge(f"The body is over the limit of {limit_bytes} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise too_large
        parts.append(part)
    return b"".join(parts)
