"""Open or keyed is one rule, for the command and for every replica; by default it fails closed."""

from typing import Any

import pytest

from deployments.settings.access import is_loopback, required_keys
from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMALLFIRST_API_KEYS", "SMALLFIRST_API_KEYS_FILE", "SMALLFIRST_AUTH"):
        monkeypatch.delenv(name, raising=False)


OPEN, KEYED, REFUSED = "open", "keyed", "refused"


@pytest.mark.parametrize(
    ("auth", "said", "host", "keys", "result"),
    [
        (None, None, "127.0.0.1", False, OPEN),
        (None, None, None, False, OPEN),
        (None, None, "0.0.0.0", False, REFUSED),
        (None, None, "::", False, REFUSED),
        (None, None, "10.0.0.1", False, REFUSED),
        (None, None, "127.0.0.1", True, KEYED),
        (None, None, "0.0.0.0", True, KEYED),
        ("keys", None, "127.0.0.1", False, REFUSED),
        ("keys", None, "0.0.0.0", True, KEYED),
        ("open", None, "0.0.0.0", False, OPEN),
        ("open", None, "0.0.0.0", True, REFUSED),
        (None, "open", "0.0.0.0", False, OPEN),
        (None, "keys", "127.0.0.1", False, REFUSED),
        (None, "nobody", "127.0.0.1", False, REFUSED),
        ("keys", "open", "0.0.0.0", False, REFUSED),
    ],
)
def test_an_endpoint_is_open_where_that_is_said_or_only_this_machine_asks(
    monkeypatch: pytest.MonkeyPatch, auth: Any, said: str | None, host: str, keys: bool, result: str
) -> None:
    if said is not None:
        monkeypatch.setenv("SMALLFIRST_AUTH", said)
    if keys:
        monkeypatch.setenv("SMALLFIRST_API_KEYS", "key-a")
    try:
        source = required_keys(auth, host)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert result == REFUSED
    else:
        assert result == (OPEN if source is None else KEYED)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True), ("LocalHost", True), ("localhost.", True), ("127.0.0.1", True),
        ("127.255.0.9", True), ("::1", True), ("[::1]", True), (None, True),
        ("0.0.0.0", False), ("::", False), ("192.168.0.1", False), ("", False),
        ("127.0.0.1.evil.example", False), ("127.evil.example", False), ("localhost.evil", False),
    ],
)  # fmt: skip
def test_loopback_is_told_by_address_and_not_by_prefix(host: str | None, loopback: bool) -> None:
    assert is_loopback(host) is loopback


GATEWAY: Any = {"small": {"model": "a", "engine": {"kind": "simulated"}},
                "large": {"model": "b", "engine": {"kind": "simulated"}}}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_hosts", "http://llm.example.com"),
        ("allowed_hosts", "llm.example.com:8000"),
        ("allowed_hosts", "*example.com"),
        ("allowed_hosts", "a b"),
        ("cors_origins", "app.example.com"),
        ("cors_origins", "https://app.example.com/page"),
        ("cors_origins", "https://*.example.com/"),
        ("auth", "none"),
    ],
)
def test_a_name_that_could_never_match_is_refused(name: str, value: str) -> None:
    given = value if name == "auth" else [value]
    with pytest.raises(ConfigError, match=f"gateway.{name}"):
        parse_app_config({**GATEWAY, "gateway": {name: given}}, "test")


def test_names_are_kept_as_requests_carry_them() -> None:
    gateway = {
        "allowed_hosts": ["LLM.example.com", "[fd00::2]", "*.Example.com"],
        "cors_origins": ["https://App.example.com/", "null", "app://obsidian.md"],
    }
    config = AppConfig.model_validate({**GATEWAY, "gateway": gateway}).gateway
    assert config.allowed_hosts == ("llm.example.com", "fd00::2", "*.example.com")
    assert config.cors_origins == ("https://app.example.com", "null", "app://obsidian.md")
