"""Keys are read as editors and secret stores write them; what cannot be meant is named by line."""

import os
from pathlib import Path

import pytest

from deployments.settings.config_mistake import ConfigError
from deployments.settings.key_source import MAX_FILE_BYTES, KeySource

LINES = "key-a\r\n  key-b== \r\n# old\r\n\r\n"


def source(file: Path, raw: bytes) -> KeySource:
    file.write_bytes(raw)
    return KeySource("KEYS_FILE", file=file)


@pytest.mark.parametrize(
    "raw",
    [
        LINES.encode(),
        LINES.replace("\r\n", "\n").encode(),
        LINES.replace("\r\n", "\r").encode(),
        LINES.rstrip().encode(),
        LINES.encode("utf-8-sig"),
        LINES.encode("utf-16"),
        "\ufeff".encode("utf-16-be") + LINES.encode("utf-16-be"),
        LINES.encode("utf-32"),
        b"key-a\n" + "\ufeffkey-b==\n".encode(),
        "key-a\u00a0\n\u3000key-b==\t\n".encode(),
    ],
)
def test_a_file_of_keys_is_read_as_editors_write_it(tmp_path: Path, raw: bytes) -> None:
    assert source(tmp_path / "keys", raw).read() == {"key-a", "key-b=="}


@pytest.mark.parametrize("listed", ["key-a,key-b==", " key-a ,\n key-b==\n", "key-a\nkey-b=="])
def test_a_list_of_keys_may_come_from_a_files_text(listed: str) -> None:
    assert KeySource("KEYS", listed=listed).read() == {"key-a", "key-b=="}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('"hunter2"', "without quotes"),
        ("'hunter2'", "without quotes"),
        ("SMALLFIRST_API_KEY=hunter2", "without NAME="),
        ("hunter2 # team a", "without spaces"),
        ("hunter2\x00", "printable ASCII"),
        ("hünter2", "printable ASCII"),
        ("hunter2,hunter3", "without commas"),
    ],
)
def test_a_line_that_nobody_can_mean_is_named_and_not_shown(
    tmp_path: Path, line: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        source(tmp_path / "keys", f"key-a\n{line}\n".encode()).read()
    assert str(caught.value).startswith("KEYS_FILE: line 2: ")
    assert says in str(caught.value)
    assert "nter2" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n# none\n", b"\xff\xfe", "key-ü".encode("latin-1"), b"\xff\xfek", b"x" * 2**21],
)
def test_a_file_without_keys_opens_nothing(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^KEYS_FILE: |^KEYS_FILE is set"):
        source(tmp_path / "keys", raw).read()


def test_a_file_that_is_none_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "absent", ".", "x" * 300):
        with pytest.raises(ConfigError, match="cannot read"):
            KeySource("KEYS_FILE", file=tmp_path / name).read()


def test_many_keys_fit(tmp_path: Path) -> None:
    lines = b"".join(b"%064d\n" % i for i in range(MAX_FILE_BYTES // 65))
    assert len(source(tmp_path / "keys", lines).read()) == MAX_FILE_BYTES // 65


def test_no_key_is_in_the_sources_repr() -> None:
    assert "hunter2" not in repr(KeySource("KEYS", listed="hunter2"))
