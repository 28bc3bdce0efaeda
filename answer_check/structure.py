"""Whether a JSON text is what was asked for: parsed, and of its schema's shape.

Types, required and forbidden keys, choices, items, local references. Patterns are not run: a client
writes the schema, and a regular expression can take for ever on a text that it likes. What is not
understood is taken as fitting.
"""

import json
from typing import Any, NoReturn

MAX_DEPTH = 32
# Of values and schemas that are compared: alternatives within alternatives grow without end.
MAX_STEPS = 20_000
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
}


def is_json(text: str, schema: Any = None) -> bool:
    """Whether the text is one JSON document, and has the shape of `schema` where there is one."""
    try:
        document = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return not isinstance(schema, dict) or _Shape(schema).fits(document, schema, 0)


def begins_json(text: str) -> bool:
    """Whether what has come so far can be the beginning of an object or an array."""
    begun = text.lstrip()
    return not begun or begun[0] in "{["


def _refused(constant: str) -> NoReturn:
    """NaN and the infinities: Python reads them, no other reader does."""
    raise ValueError(constant)


class _Shape:
    """A schema, to whose own parts a reference may lead."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._steps = 0

    def fits(self, value: Any, schema: Any, depth: int) -> bool:
        """Whether a value has the shape."""
        self._steps += 1
        if schema is False:
            return False
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return True
        if not _is_of(value, schema.get("type")) or not _is_chosen(value, schema):
            return False
        if not self._combined_fits(value, schema, depth + 1):
            return False
        if isinstance(value, dict):
            return self._object_fits(value, schema, depth + 1)
        return not isinstance(value, list) or self._array_fits(value, schema, depth + 1)

    def _combined_fits(self, value: Any, schema: dict[str, Any], depth: int) -> bool:
        """Whether a value has what a reference leads to, and what several schemas say together."""
        if "$ref" in schema and not self.fits(value, self._led_to(schema["$ref"]), depth):
            return False
        every, either = schema.get("allOf"), schema.get("anyOf", schema.get("oneOf"))
        if isinstance(every, list) and not all(self.fits(value, one, depth) for one in every):
            return False
        return not (isinstance(either, list) and either) or any(
            self.fits(value, one, depth) for one in either
        )

    def _led_to(self, reference: Any) -> Any:
        """The part of the schema that a local reference names (RFC 6901); None: not found."""
        if not isinstance(reference, str) or not f"{reference}/".startswith("#/"):
            return None
        part: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            part = part.get(name) if isinstance(part, dict) else None
        return part

    def _object_fits(self, value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        required = schema.get("required")
        if isinstance(required, list) and any(
            isinstance(key, str) and key not in value for key in required
        ):
            return False
        others = None if "patternProperties" in schema else schema.get("additionalProperties")
        return all(self.fits(item, known.get(key, others), depth) for key, item in value.items())

    def _array_fits(self, value: list[Any], schema: dict[str, Any], depth: int) -> bool:
        # Draft 2020-12 names the first items apart; before it a list of `items` did.
        first, others = schema.get("prefixItems"), schema.get("items")
        if isinstance(others, list):
            first, others = others, schema.get("additionalItems")
        first = first if isinstance(first, list) else []
        shapes = [*first[: len(value)], *[others] * (len(value) - len(first))]
        return all(map(self.fits, value, shapes, [depth] * len(value)))


def _is_chosen(value: Any, schema: dict[str, Any]) -> bool:
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return False
    return "const" not in schema or value == schema["const"]


def _is_of(value: Any, kinds: Any) -> bool:
    named = kinds if isinstance(kinds, list) else [kinds]
    return any(_is_one(value, kind) for kind in named) if kinds is not None and named else True


def _is_one(value: Any, kind: Any) -> bool:
    if kind in ("number", "integer"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return kind == "number" or isinstance(value, int) or value.is_integer()
    known = _TYPES.get(kind) if isinstance(kind, str) else None
    return known is None or isinstance(value, known)
