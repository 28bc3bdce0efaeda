"""No command takes a number that is none: with NaN every comparison is false."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deployments.cli import app


def numbers(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Every option that takes a fraction, with the words that lead to it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from numbers(inner, *path, name)
    for option in command.params:
        if option.type_descriptor.annotation is float:
            yield (*path, option.opts[0])


OPTIONS = list(numbers(typer.main.get_command(app)))


def test_options_are_found() -> None:
    assert {("quantize", "--max-regression"), ("classifier", "calibrate", "--min-quality")} < set(
        OPTIONS
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity"])
@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
def test_a_number_that_is_none_is_refused(option: tuple[str, ...], value: str) -> None:
    done = CliRunner().invoke(app, [*option, value], env={"COLUMNS": "200"})
    assert (done.exit_code, "Invalid value" in done.output) == (2, True), done.output
    assert option[-1] in done.output
