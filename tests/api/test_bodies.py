"""Which bodies are read: JSON that says so, in the encodings that clients really use, in bounds."""

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.api.conftest import Service, Serving
from tests.api.test_http import ALWAYS, CHAT, JSON, chat, is_envelope

BODY = json.dumps(chat(messages=[{"role": "user", "content": "Grüße"}]), ensure_ascii=False)
RAW = BODY.encode()
PACKED = gzip.compress(RAW, mtime=0)


def bare_deflate(raw: bytes) -> bytes:
    """Deflate without zlib's frame, as some clients send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=ISO-8859-1", 200),
        (None, 415),
        ("", 415),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("text/plain, application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("application/vnd.api+json", 415),
        ("json", 415),
    ],
)
async def test_only_json_that_says_so_is_read(
    service: Service, content_type: str | None, status: int
) -> None:
    body = json.dumps({**chat(), "prompt": "Hello"}).encode()
    headers = {} if content_type is None else {"content-type": content_type}
    async with service.http as http:
        for path in (CHAT, "/v1/completions", "/v1/route"):
            answer = await http.post(path, content=body, headers=headers)
            assert answer.status_code == status, answer.text
            if status == 415:
                assert is_envelope(answer)
                assert answer.json()["error"]["code"] == "unsupported_media_type"
                assert answer.headers["accept"] == "application/json"
                assert answer.headers.keys() >= ALWAYS
    assert status == 200 or service.asked() == []


async def test_a_second_content_type_does_not_smuggle_one_in(service: Service) -> None:
    types = [("content-type", "application/json"), ("content-type", "text/plain")]
    async with service.http as http:
        assert (await http.post(CHAT, content=RAW, headers=types)).status_code == 415


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (RAW, "identity"),
        (RAW, ""),
        (b"\xef\xbb\xbf" + RAW, None),
        (BODY.encode("utf-16"), None),
        (BODY.encode("utf-16-le"), None),
        (BODY.encode("utf-16-be"), None),
        (BODY.encode("utf-32"), None),
        (PACKED, "gzip"),
        (PACKED, "GZIP, identity"),
        (PACKED, "x-gzip"),
        (zlib.compress(RAW), "deflate"),
        (bare_deflate(RAW), "deflate"),
        (gzip.compress(b"\xef\xbb\xbf" + RAW, mtime=0), "gzip"),
    ],
)
async def test_what_clients_send_is_read(
    service: Service, content: bytes, encoding: str | None
) -> None:
    headers = JSON if encoding is None else {**JSON, "content-encoding": encoding}
    async with service.http as http:
        answer = await http.post(CHAT, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert service.scorer.asked == [[{"role": "user", "content": "Grüße"}]]


@pytest.mark.parametrize(
    ("content", "encoding", "status", "says"),
    [
        (PACKED, None, 400, "not valid JSON"),
        (RAW, "gzip", 400, "not valid gzip"),
        (RAW, "deflate", 400, "not valid deflate"),
        (b"", "gzip", 400, "not one whole gzip stream"),
        (PACKED[:-9], "gzip", 400, "not one whole gzip stream"),
        (PACKED * 2, "gzip", 400, "not one whole gzip stream"),
        (gzip.compress(PACKED, mtime=0), "gzip, gzip", 415, "gzip, deflate or none"),
        (RAW, "br", 415, "gzip, deflate or none"),
        (RAW, "zstd", 415, "gzip, deflate or none"),
        (RAW, "nonsense", 415, "gzip, deflate or none"),
        (BODY.encode("utf-16")[:-1], None, 400, "not valid UTF-16"),
        (b"\xef\xbb\xbf" * 2 + RAW, None, 400, "not valid JSON"),
        (BODY.encode("latin-1"), None, 400, "not valid JSON"),
    ],
)
async def test_what_cannot_be_read_is_one_clear_line(
    service: Service, content: bytes, encoding: str | None, status: int, says: str
) -> None:
    headers = JSON if encoding is None else {**JSON, "content-encoding": encoding}
    async with service.http as http:
        answer = await http.post(CHAT, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert is_envelope(answer)
    message = answer.json()["error"]["message"]
    assert says in message and "\n" not in message and "Gr" not in message
    assert ("accept-encoding" in answer.headers) is (status == 415)
    assert service.asked() == []


def padded(size: int) -> bytes:
    """A chat of exactly this many bytes that packs well."""
    return json.dumps(chat()).encode().ljust(size)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bare_deflate])
@pytest.mark.parametrize(("size", "status"), [(2048, 200), (2049, 413), (50_000_000, 413)])
async def test_a_packed_body_is_bounded_by_what_it_unpacks_to(
    serving: Serving, pack: Any, size: int, status: int
) -> None:
    name = "gzip" if pack is gzip.compress else "deflate"
    limits = {"max_body_bytes": 2048 if size < 50_000 else 1024**2}
    async with serving(gateway=limits) as service, service.http as http:
        headers = {**JSON, "content-encoding": name}
        answer = await http.post(CHAT, content=pack(padded(size)), headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_packed_body_is_bounded_packed_too(serving: Serving) -> None:
    async with serving(gateway={"max_body_bytes": 2048}) as service, service.http as http:
        stored = gzip.compress(padded(2040), compresslevel=0) + bytes(2048)
        headers = {**JSON, "content-encoding": "gzip"}
        assert (await http.post(CHAT, content=stored, headers=headers)).status_code == 413
