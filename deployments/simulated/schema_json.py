"""A value that satisfies a simple JSON schema, for simulated tool calls and structured output."""

import math
import random
from typing import Any

from deployments.protocol.errors import InvalidRequest

# Below this depth only what the schema requires is filled, so that a schema that refers to itself
# (a tree of nodes) comes to an end.
FULL_DEPTH = 4
# More than any schema that a person writes; one that needs more refers to itself without an end.
MAX_VALUES = 1000
MAX_CHARS = 10_000
TEXT = "simulated"


def sample(schema: dict[str, Any], rng: random.Random) -> Any:
    """A value for a schema of objects, arrays, scalars, enums, `anyOf`/`oneOf` and local `$ref`.

    Every property is filled. `pattern`, `format` and `not` are not looked at.
    Raises: `InvalidRequest` when the schema is malformed or refers to itself without an end.
    """
    try:
        return _Sampler(schema, rng).value(schema, 0)
    except (TypeError, ValueError, IndexError, RecursionError) as error:
        raise InvalidRequest("The JSON schema is malformed.", "response_format") from error


class _Sampler:
    """One walk over a schema."""

    def __init__(self, root: dict[str, Any], rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._values = 0

    def value(self, schema: Any, depth: int) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise InvalidRequest("The JSON schema has no end.", "response_format")
        if not isinstance(schema, dict):
            return TEXT
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(list(schema["enum"]))
        inner = self._alternative(schema)
        return self._typed(schema, depth) if inner is None else self.value(inner, depth)

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0]
        if kind == "object":
            properties = schema.get("properties") or {}
            wanted = properties if depth < FULL_DEPTH else schema.get("required", ())
            return {name: self.value(properties.get(name), depth + 1) for name in wanted}
        if kind == "array":
            least = int(schema.get("minItems", 0))
            count = max(1, least) if depth < FULL_DEPTH else least
            return [self.value(schema.get("items"), depth + 1) for _ in range(count)]
        return self._scalar(kind, schema)

    def _alternative(self, schema: dict[str, Any]) -> Any:
        """What the schema delegates to: its first alternative or the target of its `$ref`."""
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                return schema[key][0]
        reference = schema.get("$ref")
        if reference is None:
            return None
        target: Any = self._root
        for name in str(reference).removeprefix("#").split("/")[1:]:
            target = target.get(name) if isinstance(target, dict) else None
        if target is None:
            raise InvalidRequest("The JSON schema has a '$ref' to nothing.", "response_format")
        return target

    def _scalar(self, kind: str, schema: dict[str, Any]) -> Any:
        if kind in ("integer", "number"):
            return self._number(kind, schema)
        if kind == "boolean":
            return self._rng.random() < 0.5
        if kind == "null":
            return None
        least = int(schema.get("minLength", 0))
        if least > MAX_CHARS:
            raise InvalidRequest("The JSON schema wants too long a string.", "response_format")
        text = TEXT.ljust(least, "x")
        return text[: int(schema.get("maxLength", len(text)))]

    def _number(self, kind: str, schema: dict[str, Any]) -> float:
        low = schema.get("minimum", 0)
        if "exclusiveMinimum" in schema:
            low = schema["exclusiveMinimum"] + 1
        high = schema.get("maximum", max(low, low + 9))
        whole = self._rng.randint(math.ceil(low), max(math.ceil(low), math.floor(high)))
        return whole if kind == "integer" else float(min(whole, high))
