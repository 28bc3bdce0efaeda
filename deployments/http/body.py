"""A request's body as UTF-8 JSON text: of the right type, within the limit, before the deadline."""

import asyncio
import codecs
import json
import zlib
from dataclasses import replace

from starlette.datastructures import Headers
from starlette.requests import Request

from deployments.gateway.hints import Hints
from deployments.protocol.api import Api, Telling
from deployments.protocol.apis import parse_call
from deployments.protocol.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    InvalidRequest,
    UnsupportedMediaType,
)
from deployments.protocol.openai_request import ParsedRequest
from deployments.settings.app import GatewayConfig

# Parsing takes up to 10 ns a byte: a longer body holds the event loop for a millisecond and more.
PARSED_ASIDE_BYTES = 64 * 1024
GZIP = {"gzip", "x-gzip"}
# What zlib is told of a stream's frame: gzip's or its own; none at all.
GZIP_OR_ZLIB, BARE = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS


async def read_body(request: Request, asked: Hints, limits: GatewayConfig) -> tuple[bytes, Hints]:
    """The body, and the hints with what its arrival left of the client's time.

    Raises: `UnsupportedMediaType`, `BodyTooLarge`, `DeadlineExceeded`, `InvalidRequest`.
    """
    _check_type(request.headers)
    encoding = _encoding(request.headers)
    loop = asyncio.get_running_loop()
    by_s = loop.time() + min(asked.timeout_s or limits.max_request_s, limits.max_request_s)
    try:
        async with asyncio.timeout_at(by_s):
            raw = await _read(request, limits.max_body_bytes)
    except TimeoutError:
        raise DeadlineExceeded("The deadline passed before the body was here.") from None
    if encoding is not None:
        raw = _inflated(raw, encoding, limits.max_body_bytes)
    return _utf8(raw), replace(asked, timeout_s=max(by_s - loop.time(), 1e-3))


def _check_type(headers: Headers) -> None:
    """Only JSON that says so: a web page may send any other type without asking first."""
    given = headers.getlist("content-type")
    types = {value.partition(";")[0].strip().lower() for value in given}
    if types != {"application/json"}:
        raise UnsupportedMediaType("Send the body as 'Content-Type: application/json'.")


def _encoding(headers: Headers) -> str | None:
    """The one content encoding of the body, if it has one."""
    given = [part.strip().lower() for line in headers.getlist("content-encoding")
             for part in line.split(",")]  # fmt: skip
    named = [name for name in given if name not in ("", "identity")]
    if len(named) > 1 or not GZIP.union({"deflate"}).issuperset(named):
        raise UnsupportedMediaType("A body's Content-Encoding is gzip, deflate or none.")
    return named[0] if named else None


async def parse_body(api: Api | None, raw: bytes) -> tuple[ParsedRequest, Telling]:
    """`parse_call`, beside the event loop where it would hold up every open stream."""
    if len(raw) > PARSED_ASIDE_BYTES:
        return await asyncio.to_thread(parse_call, api, raw)
    return parse_call(api, raw)


async def _read(request: Request, limit_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be over the limit."""
    too_large = _too_large(limit_bytes)
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


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is over the limit of {limit_bytes} bytes.")


def _inflated(raw: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body without its compression; never more than the limit is unpacked of it."""
    # Some clients send `deflate` without zlib's frame, which begins so.
    framed = len(raw) > 1 and raw[0] & 0x0F == 8 and (raw[0] << 8 | raw[1]) % 31 == 0
    unpack = zlib.decompressobj(GZIP_OR_ZLIB if framed or encoding in GZIP else BARE)
    try:
        plain = unpack.decompress(raw, limit_bytes + 1)
    except zlib.error:
        raise InvalidRequest(f"The body is not valid {encoding}.") from None
    if len(plain) > limit_bytes:
        raise _too_large(limit_bytes)
    if not unpack.eof or unpack.unused_data:
        raise InvalidRequest(f"The body is not one whole {encoding} stream.")
    return plain


def _utf8(raw: bytes) -> bytes:
    """The body in UTF-8 without a byte order mark, from any encoding that JSON once knew."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    encoding = json.detect_encoding(raw)
    if encoding.startswith("utf-8"):
        return raw
    try:
        return raw.decode(encoding).encode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"The body is not valid {encoding.upper()}.") from None
