"""YAML as operators mean it: a key that stands twice, or a value that is none, is said by its line.

PyYAML takes the last of two equal keys, so that a whole tier can vanish from a merged file.
"""

from pathlib import Path
from typing import Any

import yaml

from deployments.settings.config_mistake import ConfigError

MERGE = "tag:yaml.org,2002:merge"
# What PyYAML's own readers of numbers, dates and tagged values raise.
_NO_VALUE = (ValueError, ArithmeticError, AttributeError, LookupError, RecursionError)


def read_yaml(path: Path) -> Any:
    """The one document of a YAML file.

    Raises: `OSError`, or `ConfigError` in one line where it is no YAML, or says something twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, *_NO_VALUE) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping; before `<<` is worked in, which may well bring a key that stands there."""
        node = super().compose_mapping_node(anchor)
        seen = set[tuple[str, str]]()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                line = key.start_mark.line + 1
                raise ConfigError(f"line {line}: {key.value} stands there twice: keep one")
            if key.tag != MERGE and isinstance(key, yaml.ScalarNode):
                seen.add(name)
        return node
