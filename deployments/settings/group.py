"""What every group of settings is: frozen, without unknown keys, changed by a part of itself."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator


class Strict(BaseModel):
    """A frozen group of settings that refuses keys it does not know, and switches for numbers."""

    # Notes of what runs, and what Serve is told, are JSON: it has no infinity.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _no_switch_for_a_number(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        group = read(given)
        said = given if isinstance(given, Mapping) else {}
        for name, value in group:
            if isinstance(said.get(name), bool) and not isinstance(value, bool):
                raise ValueError(
                    f"{name} must not be true or false, which is what YAML makes of yes, no, on "
                    "and off"
                )
        return group


class Settings(Strict):
    """A group of settings that a part of itself changes."""

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same settings with these, group in group, in place of their own."""
        groups = {
            name: group.changed(changes[name])
            for name, group in self
            if isinstance(group, Settings) and isinstance(changes.get(name), Mapping)
        }
        return type(self).model_validate({**dict(self), **changes, **groups})
