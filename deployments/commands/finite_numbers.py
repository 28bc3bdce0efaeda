"""No option of any command takes NaN or infinity: a comparison with NaN lets everything pass."""

import math
from typing import Any

import typer
from typer.core import TyperGroup


class FiniteNumbers(TyperGroup):
    """A group of commands whose numbers are finite."""

    def resolve_command(self, *given: Any) -> Any:
        """The command that is asked for, each of its options checked."""
        name, command, rest = super().resolve_command(*given)
        for parameter in command.params if command else ():
            parameter.callback = parameter.callback or _finite
        return name, command, rest


def _finite(_context: Any, _parameter: Any, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value
