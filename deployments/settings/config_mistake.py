"""A mistake in a config, and one line for a user from pydantic's report on one."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails


class ConfigError(ValueError):
    """A start-up mistake: one line that names the key and the mend. Never becomes HTTP."""


def unreadable(file: Path) -> str | None:
    """Why a file that a config names cannot be read, in some words; None where it can."""
    try:
        # Asked first: to open a pipe would wait for a writer.
        if not file.is_file():
            return "no such file"
        file.open("rb").close()
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return None


def first_mistake(error: ValidationError) -> str:
    """The first mistake of a pydantic report as `key: what is wrong`."""
    mistakes = error.errors(include_url=False)
    places = [mistake["loc"] for mistake in mistakes]
    # Where an item is wrong pydantic misses it in its list as well.
    mistakes = [one for one in mistakes if not (_is_too_short(one) and _is_above(one, places))]
    first = mistakes[0]
    kinds = {"vllm", "simulated", "upstream"}
    key = ".".join(str(part) for part in first["loc"] if part not in kinds)
    key = key.replace("engine.targets.targets", "targets")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or check its spelling"
    more = len(mistakes) - 1
    tail = f" (and {more} more)" if more else ""
    return f"{key}: {message}{tail}" if key else f"{message}{tail}"


def _is_too_short(mistake: ErrorDetails) -> bool:
    return mistake["type"] == "too_short"


def _is_above(mistake: ErrorDetails, places: list[tuple[int | str, ...]]) -> bool:
    place = mistake["loc"]
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)
