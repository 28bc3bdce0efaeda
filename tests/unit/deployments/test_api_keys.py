"""A file of keys that changes under a running gateway."""

import asyncio
import logging
from pathlib import Path
from typing import NoReturn

import pytest

from deployments.http.api_keys import ApiKeys
from deployments.protocol.errors import InvalidApiKey
from deployments.settings.config_mistake import ConfigError
from deployments.settings.key_source import KeySource


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    write(path, "key-a\nkey-b\n")
    return path


@pytest.fixture
def keys(file: Path) -> ApiKeys:
    return ApiKeys(KeySource("KEYS_FILE", file=file))


def write(file: Path, content: str | bytes | None) -> None:
    """Put this into the file; None: remove it."""
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def replace(file: Path, content: str) -> None:
    new = file.with_name("new")
    write(new, content)
    new.rename(file)


def opens(keys: ApiKeys, key: str) -> bool:
    try:
        keys.check([f"Bearer {key}"])
    except InvalidApiKey:
        return False
    return True


async def test_a_key_that_is_taken_out_is_refused_and_a_new_one_opens(
    keys: ApiKeys, file: Path
) -> None:
    write(file, "key-b\nkey-c\n")
    await keys.look()
    await keys.look()
    assert [opens(keys, f"key-{x}") for x in "abc"] == [False, True, True]


async def test_a_file_put_in_the_place_of_the_old_one_is_seen(keys: ApiKeys, file: Path) -> None:
    # As Kubernetes and careful editors do it; of the same size, within one tick of the clock.
    replace(file, "key-c\nkey-b\n")
    await keys.look()
    await keys.look()
    assert [opens(keys, f"key-{x}") for x in "abc"] == [False, True, True]


async def test_a_file_that_is_being_written_is_not_taken_over(keys: ApiKeys, file: Path) -> None:
    write(file, "key-a\nk")
    await keys.look()
    write(file, "key-a\nkey-c\n")
    await keys.look()
    assert not opens(keys, "k") and opens(keys, "key-b")
    await keys.look()
    assert [opens(keys, f"key-{x}") for x in "abc"] == [True, False, True]
    assert not opens(keys, "k")


@pytest.mark.parametrize("broken", [b"", b"# none\n", b"\xff\xfek", b'"key-c"\n', None])
async def test_a_broken_file_keeps_the_last_keys_and_is_said_once(
    keys: ApiKeys, file: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    write(file, broken)
    with caplog.at_level(logging.WARNING, "ray.serve"):
        for _ in range(5):
            await keys.look()
    assert [opens(keys, f"key-{x}") for x in "abc"] == [True, True, False]
    assert not opens(keys, "")
    (line,) = caplog.messages
    assert line.startswith("KEYS_FILE") and "key-c" not in line
    write(file, "key-c\n")
    await keys.look()
    await keys.look()
    assert [opens(keys, f"key-{x}") for x in "abc"] == [False, False, True]


async def test_a_running_gateway_looks_by_itself(
    keys: ApiKeys, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.http.api_keys.LOOK_EVERY_S", 0.001)
    keys.start()
    write(file, "key-c\n")
    async with asyncio.timeout(30):
        while opens(keys, "key-a"):  # noqa: ASYNC110  # nothing tells when a file is taken over
            await asyncio.sleep(0.001)
    assert opens(keys, "key-c")


async def test_a_folder_that_is_closed_for_a_while_does_not_end_the_watch(
    keys: ApiKeys, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.http.api_keys.LOOK_EVERY_S", 0.01)
    keys.start()
    # As a folder without rights or a server of files that is away: not even asked what it is.
    with monkeypatch.context() as closed:
        closed.setattr(Path, "stat", lambda *_args, **_more: _raise(PermissionError(13, "no")))
        await asyncio.sleep(0.05)
    assert opens(keys, "key-a")
    write(file, "key-b\n")
    async with asyncio.timeout(30):
        while opens(keys, "key-a"):  # noqa: ASYNC110  # nothing tells when a file is taken over
            await asyncio.sleep(0.01)


def _raise(error: Exception) -> NoReturn:
    raise error


def test_a_gateway_whose_file_holds_no_key_does_not_start(file: Path) -> None:
    write(file, "")
    with pytest.raises(ConfigError, match="KEYS_FILE"):
        ApiKeys(KeySource("KEYS_FILE", file=file))
