"""Whether a JSON text is what was asked for: parsed, and of its schema's shape.

Types, required and forbidden keys, choices. Patterns are not run: a client writes the schema, and a
regular expression can take for ever on a text that it likes.
"""

import json
from typing import Any

MAX_DEPTH = 32
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
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return not isinstance(schema, dict) or _fits(document, schema, 0)


def begins_json(text: str) -> bool:
    """Whether what has come so far can be the beginning of an object or an array."""
    begun = text.lstrip()
    return not begun or begun[0] in "{["


def _fits(value: Any, schema: Any, depth: int) -> bool:
    """Whether a value has the shape; what is not understood is taken as fitting."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return True
    if not _is_of(value, schema.get("type")):
        return False
    if isinstance(choices := schema.get("enum"), list) and value not in choices:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema, depth)
    if isinstance(value, list):
        return all(_fits(item, schema.get("items"), depth + 1) for item in value)
    return True


def _object_fits(value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
    known = schema.get("properties")
    known = known if isinstance(known, dict) else {}
    required = schema.get("required")
    if isinstance(required, list) and any(
        isinstance(key, str) and key not in value for key in required
    ):
        return False
    closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    if closed and value.keys() - known.keys():
        return False
    return all(_fits(item, known.get(key), depth + 1) for key, item in value.items())


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
