"""A mistake in a config, and one line for a user from pydantic's report on one."""

from pydantic import ValidationError


class ConfigError(ValueError):
    """A start-up mistake: one line that names the key and the mend. Never becomes HTTP."""


def first_mistake(error: ValidationError) -> str:
    """The first mistake of a pydantic report as `key: what is wrong`."""
    first = error.errors(include_url=False)[0]
    kinds = {"vllm", "simulated", "upstream"}
    key = ".".join(str(part) for part in first["loc"] if part not in kinds)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or check its spelling"
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    return f"{key}: {message}{tail}" if key else f"{message}{tail}"
