"""The page of what clients may send is the tables that the parsers use, and what runs found."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.compat import run, vllm_suite
from bench.compat.tables import APIS, PAGE, fields, with_fields, written
from bench.compat.vllm_choice import ACCEPTED, ACCEPTED_FILES, FILES


def test_the_page_is_as_the_tables_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_fields(page) == page, "run: python -m bench.compat.tables"


@pytest.mark.parametrize("path", APIS)
def test_every_field_has_its_row(path: str) -> None:
    rows = list(fields(APIS[path]))
    assert len(rows) == len(APIS[path]) + 2
    assert all(row.count(" | ") == 4 for row in rows[2:])


@pytest.mark.parametrize(
    ("mark", "file", "table"),
    [("kits", run.RESULTS, run.table), ("vllm", vllm_suite.RESULTS, vllm_suite.table)],
)
def test_the_page_says_what_was_found(
    mark: str, file: Path, table: Callable[[Any], Iterator[str]]
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert written(page, mark, table(found)) == page, "run: python -m bench.compat"


def test_what_passes_only_on_bare_vllm_has_a_reason() -> None:
    found = json.loads(vllm_suite.RESULTS.read_text(encoding="utf-8"))
    only = vllm_suite.only_here(found["bare"], found["ours"])
    assert [test for test in only if vllm_suite.accepted(test) is None] == []


def test_reasons_are_for_tests_that_are_run() -> None:
    assert {name.split("::")[0] for name in (*ACCEPTED, *ACCEPTED_FILES)} <= {
        file for file, why in FILES.items() if not why
    }


def test_a_test_that_fails_or_is_not_run_here_is_told() -> None:
    bare = {"a": "passed", "b": "passed", "c": "failed", "d": "passed"}
    ours = {"a": "passed", "b": "failed", "c": "failed"}
    assert vllm_suite.only_here(bare, ours) == ["b", "d"]


def test_a_reason_holds_for_all_parameters_of_a_test() -> None:
    name = next(iter(ACCEPTED))
    assert vllm_suite.accepted(f"tests/entrypoints/{name}[any]") == ACCEPTED[name]
    assert vllm_suite.accepted(f"tests/entrypoints/{name}_else") is None
