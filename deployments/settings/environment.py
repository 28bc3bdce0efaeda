"""The one module that reads the process environment: secrets, and where files live."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.settings.config_mistake import ConfigError


def api_keys() -> frozenset[str]:
    """Keys that clients may use; empty, because neither variable is set: the endpoint is open.

    Source: `SMALLFIRST_API_KEYS_FILE` (one key a line, `#` comments), else `SMALLFIRST_API_KEYS`
    (comma-separated).
    Raises: `ConfigError` where the file cannot be read, or what is set holds no key: who sets one
    does not want an open endpoint.
    """
    file = os.environ.get("SMALLFIRST_API_KEYS_FILE")
    listed = os.environ.get("SMALLFIRST_API_KEYS")
    if file is None and listed is None:
        return frozenset()
    source = "SMALLFIRST_API_KEYS" if file is None else "SMALLFIRST_API_KEYS_FILE"
    try:
        lines = _key_lines(file) if file is not None else (listed or "").split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot read {file}: {type(error).__name__}") from None
    keys = frozenset(key.strip() for key in lines if key.strip())
    if not keys:
        raise ConfigError(f"{source} is set and holds no key: put one in, or unset it")
    return keys


def _key_lines(file: str) -> list[str]:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.lstrip().startswith("#")]


def secret(variable: str | None) -> str | None:
    """The value of the named variable, or None where it is unset or empty."""
    return (os.environ.get(variable) or None) if variable else None


def cache_dir() -> Path:
    """Where converted models and ledgers live: `SMALLFIRST_CACHE`, else the XDG cache folder."""
    own = os.environ.get("SMALLFIRST_CACHE")
    if own:
        return Path(own)
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "smallfirst"


def visible_gpus() -> list[str]:
    """GPUs that Ray gave this process; empty on CPU."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [gpu for gpu in listed.split(",") if gpu and gpu != "-1"]


def set_defaults(variables: dict[str, str]) -> None:
    """Set variables that the user has not set himself."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def user_id() -> int:
    """The user's number, for folders that two users of a machine must not share."""
    return os.getuid()


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set a variable for the processes started meanwhile."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
