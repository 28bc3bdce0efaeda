"""The first mistake of a request in one line: the parameter and what it must be, never its value.

pydantic's own messages and locations repeat keys, tags and texts of the request; here a location
keeps only numbers and the names of fields that our schema has.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Discriminator, ValidationError
from pydantic_core import PydanticCustomError

from deployments.protocol.errors import InvalidRequest

# Error types of pydantic -> what the value must be; limits are the schema's, not the request's.
_MUST: dict[str, str] = {
    "string_type": "it must be a string",
    "string_too_short": "it must not be empty",
    "string_too_long": "it must have at most {max_length} characters",
    "int_type": "it must be an integer",
    "int_from_float": "it must be an integer",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "string_pattern_mismatch": "it must match {pattern}",
    "list_type": "it must be an array",
    "dict_type": "it must be an object",
    "model_type": "it must be an object",
    "model_attributes_type": "it must be an object",
    "too_short": "it must have at least {min_length} items",
    "too_long": "it must have at most {max_length} items",
    "literal_error": "it must be {expected}",
    "greater_than": "it must be above {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be below {lt}",
    "less_than_equal": "it must be at most {le}",
    "extra_forbidden": "it is not a known field here",
    "missing": "it is missing",
    "none_required": "it is not supported",
}
OURS = "smallfirst"
"""The type of the errors that our own validators raise: their messages are written for clients."""


def must(message: str) -> PydanticCustomError:
    """What a validator raises: `message` says what the value must be and repeats none of it."""
    return PydanticCustomError(OURS, "{says}", {"says": message})


def branch_by(kind: Callable[[Any], str | None], says: str) -> Discriminator:
    """A union's branch by a function of the value, and what the value must be where it has none.

    Tags have marks, `<text>`, so that no field's name is taken for one.
    """
    return Discriminator(kind, custom_error_type=OURS, custom_error_message=says)


def text_or_list(value: Any) -> str | None:
    """The branch of a field that takes a string or an array."""
    if isinstance(value, str):
        return "<text>"
    return "<list>" if isinstance(value, list) else None


def text_or_object(value: Any) -> str | None:
    """The branch of a field that takes a string or an object."""
    if isinstance(value, str):
        return "<text>"
    return "<object>" if isinstance(value, dict) else None


def mistake(error: ValidationError, known: frozenset[str]) -> InvalidRequest:
    """The first mistake; `known` are the names that may stand in the parameter's path."""
    first = error.errors(include_url=False, include_input=False)[0]
    param = path(first["loc"], known)
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return InvalidRequest(f"You must provide the parameter '{param}'.", param)
    says = _MUST.get(first["type"], "it is not valid").format_map(first.get("ctx") or {})
    if first["type"] == OURS:
        says = first["msg"]
    return InvalidRequest(f"Invalid '{param}': {says}.", param)


def path(location: Sequence[int | str], known: frozenset[str]) -> str:
    """A location in OpenAI's words: `messages[3].content[0].text`."""
    param = ""
    for part in location:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part in known:
            param += f".{part}" if param else part
    return param
