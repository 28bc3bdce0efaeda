"""A prompt goes where the configuration says, whatever the environment says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deployments.settings.config_mistake import ConfigError
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.engine import UpstreamEngine
from tests.scripted_upstream import DONE, OK, answered, chat, said, scripted, sse

ANSWER = sse(said("a"), DONE)
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that answers itself: its address, and the first lines of what it was asked."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append((await reader.readline()).strip())
            body = said("by proxy") + DONE
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
            )
            writer.write(f"content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.mark.parametrize("in_cluster", [True, False])
async def test_environments_proxy_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, in_cluster: bool
) -> None:
    async with proxy() as (url, asked), scripted(ANSWER, in_cluster=in_cluster) as (_, script):
        for variable in VARIABLES:
            monkeypatch.setenv(variable, url)
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable, raising=False)
        async with scripted(ANSWER, in_cluster=in_cluster) as (engine, script):
            raw, _ = await answered(engine, chat(local_only=in_cluster))
        assert raw == said("a")
        assert len(script.bodies) == 1
        assert asked == []


async def test_environments_netrc_and_authorities_are_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    async with scripted(ANSWER, key=None) as (engine, script):
        await answered(engine, chat())
        assert b"authorization" not in script.heads[0].lower()


async def test_configured_proxy_gets_what_goes_outside() -> None:
    async with proxy() as (url, asked), scripted(ANSWER, proxy=url) as (engine, script):
        raw, _ = await answered(engine, chat())
        assert raw == said("by proxy")
        assert asked[0].startswith(b"POST http://127.0.0.1:")
        assert script.bodies == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"in_cluster": True, "proxy": "http://proxy:3128"}, "proxy: .*must not leave"),
        ({"proxy": "socks5://proxy:1080"}, "proxy"),
        ({"proxy": "http://me:mine@proxy:3128"}, "proxy"),
        ({"base_url": "https://me:mine@x/v1"}, "base_url"),
        ({"base_url": "https://x/v1?api-version=1"}, "base_url"),
        ({"base_url": "https://"}, "base_url"),
        ({"headers": {"x-org": "acme\n"}}, "headers"),
        ({"headers": {"x org": "acme"}}, "headers"),
        ({"headers": {"x-org": "ä"}}, "headers"),
    ],
)
def test_way_that_is_none_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        UpstreamConfig(**({"base_url": "http://x/v1", "model": "m"} | fields))


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_authorities_that_cannot_be_read_are_told_at_start(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    config = UpstreamConfig(base_url="https://x/v1", model="m", ca_file=str(file))
    with pytest.raises(ConfigError, match="ca_file"):
        await UpstreamEngine(config, None, PrivacyConfig()).start()


COOKIES = {
    "of this path": b"set-cookie: AWSALB=node7; Path=/",
    "for days": b"set-cookie: sid=alice; Max-Age=99999; Path=/",
    "of a host": b"set-cookie: sid=alice; Domain=127.0.0.1; Path=/",
    "two": b"set-cookie: a=1\r\nset-cookie: b=2; HttpOnly",
}


@pytest.mark.parametrize("cookie", COOKIES.values(), ids=COOKIES.keys())
async def test_what_an_answer_sets_is_not_sent_with_the_next_request(cookie: bytes) -> None:
    answer = sse(said("a"), DONE)
    marked = [OK.replace(b"\r\n", b"\r\n" + cookie + b"\r\n", 1), *answer[1:]]
    async with scripted(marked, answer) as (engine, script):
        for _ in range(2):
            await answered(engine, chat())
    assert len(script.heads) == 2
    assert b"cookie" not in b"".join(script.heads).lower()


async def test_a_cookie_that_the_config_names_is_sent() -> None:
    async with scripted(sse(said("a"), DONE), headers={"cookie": "route=eu"}) as (engine, script):
        await answered(engine, chat())
    assert b"cookie: route=eu" in script.heads[0].lower()
