"""`smallfirst route`, `chat` and `status` against a running endpoint, and against none."""

import asyncio
import json
import socket
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from tests.api.conftest import Service


async def run(*words: str, url: str, key: str = "") -> Result:
    """The command with these words, in a thread: the endpoint runs on this loop."""
    environment: dict[str, str | None] = {"SMALLFIRST_API_KEY": key or None, "COLUMNS": "200"}
    runner = CliRunner(env=environment)
    return await asyncio.to_thread(runner.invoke, app, [*words, "--url", url])


async def test_route_shows_where_a_prompt_would_go_and_sends_nothing(service: Service) -> None:
    shown = await run("route", "Hello", url=service.url)
    assert shown.exit_code == 0
    for words in ("sim-small", "classifier", "x-smallfirst-min-tier: large"):
        assert words in shown.output
    assert service.asked() == []


async def test_route_gives_json_to_programs(service: Service) -> None:
    shown = await run("route", "Hello", "--json", url=service.url)
    assert json.loads(shown.output)["tier"] == "small"


async def test_chat_streams_the_answer_and_says_who_gave_it(service: Service) -> None:
    shown = await run("chat", "Hello", "--max-tokens", "5", url=service.url)
    assert shown.exit_code == 0, shown.output
    assert "This is a simulated answer:" in shown.output
    assert "small (sim-small), classifier, score 0.1000" in shown.output


async def test_status_shows_the_tiers_and_fails_where_one_is_down(service: Service) -> None:
    up = await run("status", url=service.url)
    service.health.update({"small": 1, "large": 0})
    down = await run("status", "--json", url=service.url)
    assert (up.exit_code, down.exit_code) == (0, 1)
    assert "sim-large" in up.output
    assert json.loads(down.output)["ready"]["tiers"]["large"]["up"] is False


@pytest.mark.parametrize("words", [["route", "Hi"], ["chat", "Hi"], ["status"]], ids=" ".join)
async def test_where_nothing_answers_the_command_says_how_to_start_it(words: list[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        shown = await run(*words, url=url)
    assert shown.exit_code == 2
    assert "start it with: smallfirst serve" in shown.output


async def test_an_error_is_one_line(service: Service) -> None:
    shown = await run("chat", "Hi", "--model", "gpt-9", url=service.url)
    assert shown.exit_code == 2
    assert "404: " in shown.output
    assert "Traceback" not in shown.output


async def test_another_kind_of_server_is_named_as_such() -> None:
    async def page(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>"
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        shown = await run("route", "Hi", url=f"http://127.0.0.1:{port}")
    assert shown.exit_code == 2
    assert "this is not a smallfirst endpoint" in shown.output


async def test_a_server_that_is_not_ours_is_named_in_one_line() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        shown = await run("status", url=f"http://127.0.0.1:{port}")
    assert (shown.exit_code, shown.output.count("\n")) == (2, 1)
    assert "this is not a smallfirst endpoint" in shown.output


async def test_a_key_that_no_header_can_carry_is_refused() -> None:
    shown = await run("status", url="http://127.0.0.1:9", key="schlüssel")
    assert (shown.exit_code, shown.output.count("\n")) == (2, 1)
    assert "SMALLFIRST_API_KEY" in shown.output and "schl" not in shown.output


@pytest.mark.parametrize("verb", ["route", "chat"])
async def test_bytes_that_are_no_text_are_sent_as_what_can_be(service: Service, verb: str) -> None:
    assert (await run(verb, "caf\udcff", url=service.url)).exit_code == 0


async def test_an_error_of_the_server_is_said_once(service: Service) -> None:
    shown = await run("chat", "Hi", "--model", "absent", url=service.url)
    assert shown.exit_code == 2
    assert shown.output.count("404") == 1 and "'absent' does not exist" in shown.output
