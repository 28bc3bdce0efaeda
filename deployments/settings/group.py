"""What every group of settings is: frozen, without unknown keys, changed by a part of itself."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same settings with these, group in group, in place of their own."""
        groups = {
            name: group.changed(changes[name])
            for name, group in self
            if isinstance(group, Settings) and isinstance(changes.get(name), Mapping)
        }
        return type(self).model_validate({**dict(self), **changes, **groups})
