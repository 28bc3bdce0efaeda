"""What the process environment says, and nothing else, decides keys and folders."""

from pathlib import Path

import pytest

from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import (
    cache_dir,
    environment_variable,
    key_source,
    secret,
    set_defaults,
    visible_gpus,
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["SMALLFIRST_API_KEYS", "SMALLFIRST_API_KEYS_FILE", "SMALLFIRST_CACHE"]
    for name in [*names, "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES"]:
        monkeypatch.delenv(name, raising=False)


def api_keys() -> frozenset[str] | set[str]:
    """The keys that the environment names now."""
    source = key_source()
    return source.read() if source else set()


@pytest.mark.parametrize(
    ("value", "keys"),
    [(None, set()), ("a", {"a"}), ("a,b", {"a", "b"}), (" a , ,b,", {"a", "b"})],
)
def test_keys_are_listed_by_commas(
    monkeypatch: pytest.MonkeyPatch, value: str | None, keys: set[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("SMALLFIRST_API_KEYS", value)
    assert api_keys() == keys


@pytest.mark.parametrize("value", ["", " ", ","])
def test_who_sets_keys_and_gives_none_does_not_get_an_open_endpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    monkeypatch.setenv("SMALLFIRST_API_KEYS", value)
    with pytest.raises(ConfigError, match="SMALLFIRST_API_KEYS is set and holds no key"):
        api_keys()
    file = tmp_path / "keys"
    file.write_text(f"# only a comment\n{value.replace(',', '')}\n")
    monkeypatch.setenv("SMALLFIRST_API_KEYS_FILE", str(file))
    with pytest.raises(ConfigError, match="SMALLFIRST_API_KEYS_FILE is set and holds no key"):
        api_keys()


def test_a_file_of_keys_comes_first_and_may_hold_comments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text("# team a\nkey-a\n\n  key-b  \n  # old\n")
    monkeypatch.setenv("SMALLFIRST_API_KEYS_FILE", str(file))
    monkeypatch.setenv("SMALLFIRST_API_KEYS", "ignored")
    assert api_keys() == {"key-a", "key-b"}


def test_a_named_file_of_keys_that_is_missing_never_opens_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SMALLFIRST_API_KEYS_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"SMALLFIRST_API_KEYS_FILE: cannot read .*absent"):
        api_keys()


@pytest.mark.parametrize(("value", "found"), [("s3", "s3"), ("", None), (None, None)])
def test_an_empty_secret_is_none(
    monkeypatch: pytest.MonkeyPatch, value: str | None, found: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("A_SECRET", value)
    assert secret("A_SECRET") == found
    assert secret(None) is None


@pytest.mark.parametrize(
    "value", ["sk-test\n", "\tsk-test ", "\ufeffsk-test\r\n", " \n sk-test", "sk-test\x0b"]
)
def test_a_secret_is_what_stands_between_the_blanks(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("A_SECRET", value)
    assert secret("A_SECRET") == "sk-test"


@pytest.mark.parametrize("value", ["\n", " ", "\ufeff"])
def test_a_secret_of_blanks_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("A_SECRET", value)
    assert secret("A_SECRET") is None


@pytest.mark.parametrize(
    "value", ["hun\nter2", "hun\rter2", "hun\tter2", "hun\x7fter2", "hünter2", "hun\u200bter2"]
)
def test_a_secret_that_no_header_carries_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("A_SECRET", value)
    with pytest.raises(ConfigError) as caught:
        secret("A_SECRET")
    assert str(caught.value).startswith("A_SECRET: ") and "\n" not in str(caught.value)
    assert "ter2" not in str(caught.value)


def test_the_cache_follows_our_variable_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir() == Path("/home/someone/.cache/smallfirst")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/smallfirst")
    monkeypatch.setenv("SMALLFIRST_CACHE", "/own")
    assert cache_dir() == Path("/own")


@pytest.mark.parametrize(
    ("value", "gpus"),
    [("", []), ("-1", []), ("0", ["0"]), ("0,1", ["0", "1"]), ("GPU-1a2b", ["GPU-1a2b"])],
)
def test_visible_gpus_are_rays(
    monkeypatch: pytest.MonkeyPatch, value: str, gpus: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == gpus


def test_a_default_never_overrides_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SETTING", "the user's")
    set_defaults({"A_SETTING": "ours"})
    assert secret("A_SETTING") == "the user's"


def test_a_variable_for_a_while_is_gone_after_it_even_on_failure() -> None:
    with pytest.raises(RuntimeError), environment_variable("FOR_A_WHILE", "1"):
        assert secret("FOR_A_WHILE") == "1"
        raise RuntimeError
    assert secret("FOR_A_WHILE") is None
