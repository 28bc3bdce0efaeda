"""Rows are read whole or refused with the file and the line."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pandas
import pytest

from classifier.data.reading import read_rows, read_traffic, records
from classifier.errors import DataError
from classifier.text import flatten

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
        ({"prompt": "x", "small": 10**400}, "rows.jsonl:2: `small` is not a number"),
        ({"prompt": "x", "small": 1, "weight": -2}, "rows.jsonl:2: weight -2.0 is negative"),
        ({"prompt": "x", "small": 1, "weight": 1e300}, "rows.jsonl:2: weight 1e\\+300: give 0, or"),
        ({"prompt": "x", "small": 1, "weight": 1e-300}, "rows.jsonl:2: weight 1e-300: give 0, or"),
        ({"messages": "[" * 9_999, "small": 1}, "rows.jsonl:2: `messages` is not JSON"),
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
        ("rows.csv", b"small,prompt\n1,a\n1,Hello, world\n", "rows.csv:3: more cells than columns"),
        ("rows.csv", b'small,prompt\n1,a\n1,"b\n0,c\n0,d\n', "rows.csv:3: unexpected end of data"),
        ("rows.csv", b'small,prompt\n1,"a" b\n', "rows.csv:2: ',' expected after"),
        ("rows.csv", b"small,small,prompt\n1,0,a\n", "rows.csv:1: two columns are called 'small'"),
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


def test_empty_cells_beyond_the_columns_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('small,prompt\n1,"a,\nb",,\n')
    assert [row.conversation for row in read_rows([path])] == ["a,\nb"]


def test_equal_rows_are_kept_once(tmp_path: Path) -> None:
    assert read_rows([_write(tmp_path / "rows.jsonl", GOOD, GOOD)])[0].weight == 2.0


def test_one_prompt_with_several_outcomes_is_one_row_of_their_mean(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = [{"role": "user", "content": "Hi  "}]
    outcomes = [
        GOOD,
        {"prompt": "other", "small": 1},
        {"prompt": "HI ", "small": 0, "large": 1, "weight": 6},
        {"messages": said, "small": 0},
    ]
    path = _write(tmp_path / "rows.jsonl", *outcomes)
    row, other = read_rows([path])
    assert (row.conversation, row.group, row.ts) == ("hi", "g", 3.5)
    assert row.small == pytest.approx(2 / 9)
    assert row.large == pytest.approx((0.5 * 2 + 1 * 6) / 8)  # the last never ran there
    assert row.weight == 3.0
    assert (other.small, other.weight) == (1.0, 1.0)
    assert "2 rows repeat a prompt" in caplog.text


@pytest.mark.parametrize("form", ["prompt", "messages"])
def test_prompts_that_differ_beyond_what_is_read_are_two(tmp_path: Path, form: str) -> None:
    def row(middle: str, small: int) -> dict[str, object]:
        text = "Answer from these pages. " + "a " * 4_000 + middle + " b" * 4_000 + " Who signed?"
        asked = [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]
        return {"small": small, form: text if form == "prompt" else asked}

    found = read_rows([_write(tmp_path / "rows.jsonl", row("north", 0), row("south", 1))])
    assert [row.small for row in found] == [0.0, 1.0]
    assert len({flatten(row.conversation) for row in found}) == 1  # what makes it the hard case


def test_a_long_file_is_sampled_by_prompt_evenly_and_alike_each_time(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i % 900}", "small": int(i < 900)} for i in range(1_800)]
    path = _write(tmp_path / "rows.jsonl", *rows)
    found = read_rows([path], 300)
    assert len(found) == 300
    assert {row.small for row in found} == {0.5}  # both rows of each prompt, wherever they stood
    assert [row.conversation for row in read_rows([path], 300)] == [r.conversation for r in found]
    places = [int(str(row.conversation)[1:]) for row in found]
    assert places == sorted(places)
    assert 60 < sum(p < 300 for p in places) < 140
    assert read_rows([path], 900) == read_rows([path])


def test_a_file_is_read_without_holding_it(tmp_path: Path) -> None:
    long = json.dumps({"prompt": "word " * 2_000, "small": 1})
    for suffix in ("jsonl", "jsonl.gz", "csv", "parquet"):
        path = tmp_path / f"rows.{suffix}"
        if suffix == "jsonl":
            path.write_text("\n".join([long] * 1_000))  # 10 MB
        elif suffix == "jsonl.gz":
            path.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes(), 1))
        else:
            frame = pandas.DataFrame([json.loads(long)] * 1_000)
            frame.to_csv(path) if suffix == "csv" else frame.to_parquet(path)
        tracemalloc.start()
        count = sum(1 for _ in records([path]))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 1_000
        assert peak_bytes < 5_000_000, suffix


def test_traffic_needs_no_labels(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    path = _write(tmp_path / "t.jsonl", {"prompt": "a"}, {"messages": messages})
    assert read_traffic(path) == ["a", messages]


def test_outcomes_may_be_said_as_pandas_and_spreadsheets_write_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,small,large\na,True,TRUE\nb,false,1\n")
    assert [(row.small, row.large) for row in read_rows([path])] == [(1.0, 1.0), (0.0, 1.0)]
    path.write_text("prompt,small\na,yes\n")
    with pytest.raises(DataError, match=r"rows.csv:2: `small` is not a number"):
        read_rows([path])
