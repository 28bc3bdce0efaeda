"""Rows are read whole or refused with the file and the line."""

import json
from pathlib import Path

import pandas
import pytest

from classifier.data.reading import read_rows, read_traffic
from classifier.errors import DataError

GOOD = {"prompt": "hi", "small": 1, "large": 0.5, "group": "g", "weight": 2, "ts": 3.5}


def _write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_the_three_formats_give_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    frame = pandas.DataFrame([GOOD, GOOD | {"prompt": "two", "large": None}])
    if suffix == "jsonl":
        _write(path, GOOD, GOOD | {"prompt": "two", "large": None})
    elif suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    first, second = read_rows([path])
    assert (first.conversation, first.small, first.large, first.group) == ("hi", 1.0, 0.5, "g")
    assert (first.weight, first.ts) == (2.0, 3.5)
    assert second.large != second.large  # NaN: the large tier never ran


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "rows.jsonl:2: not a JSON object"),
        ("[" * 5_000, "rows.jsonl:2: not a JSON object"),
        ("[1]", "rows.jsonl:2: not a JSON object"),
        ({"prompt": "x"}, "rows.jsonl:2: no `small`"),
        ({"small": 1}, "rows.jsonl:2: neither `prompt`"),
        ({"messages": [1, 2], "small": 1}, "rows.jsonl:2: neither `prompt`"),
        ({"messages": [], "small": 1}, "rows.jsonl:2: neither `prompt`"),
        ({"prompt": "x", "small": "NaN"}, "rows.jsonl:2: `small` is nan"),
        ('{"prompt": "x", "small": NaN}', "rows.jsonl:2: `small` is nan"),
        ({"prompt": "x", "small": 1.5}, "rows.jsonl:2: `small` is 1.5, outside 0 to 1"),
        ({"prompt": "x", "small": 1, "large": -1}, "rows.jsonl:2: `large` is -1.0"),
        ({"prompt": "x", "small": "good"}, "rows.jsonl:2: `small` is not a number"),
        ({"prompt": "x", "small": 1, "weight": -2}, "rows.jsonl:2: weight -2.0 is negative"),
        ({"prompt": "HI ", "small": 0}, r"rows.jsonl:2: same prompt as .*rows.jsonl:1"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: object, message: str) -> None:
    path = _write(tmp_path / "rows.jsonl", GOOD, row)
    with pytest.raises(DataError, match=message) as caught:
        read_rows([path])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "no such file"),
        ("rows.xls", b"", "unknown format"),
        ("rows.jsonl", b"", "no rows"),
        ("rows.jsonl", b"\xff\xfe\x00", "not readable as UTF-8"),
        ("rows.jsonl.gz", b"not gzip", "not readable"),
        ("rows.parquet", b"PAR0", "not readable as Parquet"),
    ],
)
def test_an_unreadable_file_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_rows([path])


def test_equal_rows_are_kept_once(tmp_path: Path) -> None:
    assert len(read_rows([_write(tmp_path / "rows.jsonl", GOOD, GOOD)])) == 1


def test_traffic_needs_no_labels(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    path = _write(tmp_path / "t.jsonl", {"prompt": "a"}, {"messages": messages})
    assert read_traffic(path) == ["a", messages]
