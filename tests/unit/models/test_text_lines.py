"""Calibration and evaluation files: a bad line is named by its number."""

from pathlib import Path

import pytest

from models.errors import CheckpointError
from models.text_lines import DEFAULT_EVALUATION, Question, read_text_lines


def test_texts_and_questions_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(
        '{"text": "a"}\n\n{"prompt": "q", "choices": ["x", "y"], "answer": "y"}\n', encoding="utf-8"
    )
    found = read_text_lines(path)
    assert found.texts == ["a"]
    assert found.questions == [Question("q", ("x", "y"), 1)]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "a\u2028b\u0085c"}\r\n{"text": "d"}\r\n', encoding="utf-8")
    assert read_text_lines(path).texts == ["a\u2028b\u0085c", "d"]


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", '"text"', '{"text": 3}', '{"text": ""}', "{}",
        '{"prompt": "q", "choices": ["x"], "answer": "x"}',
        '{"prompt": "q", "choices": ["x", "y"], "answer": "z"}',
        '{"prompt": "q", "choices": ["x", 1], "answer": 1}',
        '{"prompt": "q", "choices": "xy", "answer": "x"}',
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(CheckpointError, match=r"lines\.jsonl line 2"):
        read_text_lines(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"])
def test_an_empty_or_unreadable_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"lines\.jsonl"):
        read_text_lines(path)


def test_the_built_in_evaluation_is_good() -> None:
    found = read_text_lines(DEFAULT_EVALUATION)
    assert len(found.texts) >= 10 and len(found.questions) >= 20
