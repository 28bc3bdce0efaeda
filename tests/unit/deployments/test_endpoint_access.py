"""Every command that talks to the endpoint takes the same address and the same key."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from deployments.cli import app
from deployments.commands.endpoint import endpoint, unreachable
from deployments.settings.config_mistake import ConfigError

TALKING = ("route", "chat", "status", "swap", "apply")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMALLFIRST_API_KEY", raising=False)


def options(verb: str) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return {
        name: (option.envvar, getattr(option, "help", None))
        for option in group.commands[verb].params
        for name in option.opts
    }


@pytest.mark.parametrize("verb", TALKING)
def test_the_options_are_the_same_everywhere(verb: str) -> None:
    same = options("status")
    for name in ("--key-file", "--ca-file"):
        assert options(verb)[name] == same[name]
    assert options(verb)["--url"][0] == "SMALLFIRST_URL"


@pytest.mark.parametrize(
    "content",
    [b"sk-1\n", b"\xef\xbb\xbfsk-1\r\nsk-2\r\n", b"# mine\n\n  sk-1  \n", b"sk-1"],
    ids=["line", "Windows", "comment", "no line end"],
)
def test_the_first_key_of_a_file_is_sent(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    at = endpoint("http://x/", file, None)
    with at.client(1) as client:
        assert client.headers["authorization"] == "Bearer sk-1"
        assert (str(client.base_url), client.trust_env) == ("http://x", False)
    with at.openai(1) as asked:
        assert (asked.api_key, str(asked.base_url)) == ("sk-1", "http://x/v1/")


def test_without_a_file_the_variable_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLFIRST_API_KEY", "sk-1\n")
    assert endpoint("http://x", None, None).key == "sk-1"
    monkeypatch.setenv("SMALLFIRST_API_KEY", " ")
    assert endpoint("http://x", None, None).key is None


@pytest.mark.parametrize("content", [b"", b"# none\n", b"a\x00b", "schlüssel".encode(), b"\xff"])
def test_a_key_file_that_will_not_do_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="--key-file") as caught:
        endpoint("http://x", file, None)
    assert "schl" not in str(caught.value)


def test_a_certificate_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for file in (tmp_path / "ca.pem", tmp_path / "absent"):
        with pytest.raises(ConfigError, match="--ca-file"):
            endpoint("https://x", None, file)


def test_an_untrusted_certificate_is_not_called_silence() -> None:
    untrusted = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "--ca-file" in unreachable("https://x", untrusted)
    assert "smallfirst serve" in unreachable("https://x", httpx.ConnectError("refused"))


def test_a_proxy_of_the_environment_is_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with endpoint("http://127.0.0.1:9", None, None).client(1) as client:
        transport = client._transport_for_url(httpx.URL("http://elsewhere"))
    assert transport is client._transport
