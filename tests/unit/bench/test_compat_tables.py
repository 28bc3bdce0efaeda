"""The page of what clients may send is the tables that the parsers use."""

import pytest

from bench.compat.tables import APIS, PAGE, fields, with_fields


def test_the_page_is_as_the_tables_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_fields(page) == page, "run: python -m bench.compat.tables"


@pytest.mark.parametrize("path", APIS)
def test_every_field_has_its_row(path: str) -> None:
    rows = list(fields(APIS[path]))
    assert len(rows) == len(APIS[path]) + 2
    assert all(row.count(" | ") == 4 for row in rows[2:])
