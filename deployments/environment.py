"""The one module that reads the process environment: secrets, and where files live."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def api_keys() -> frozenset[str]:
    """Keys that clients may use; empty: the endpoint is open.

    Source: `SMALLFIRST_API_KEYS_FILE` (one key a line, `#` comments), else `SMALLFIRST_API_KEYS`
    (comma-separated).
    """
    file = os.environ.get("SMALLFIRST_API_KEYS_FILE")
    if file:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        return frozenset(k.strip() for k in lines if k.strip() and not k.lstrip().startswith("#"))
    listed = os.environ.get("SMALLFIRST_API_KEYS", "")
    return frozenset(key.strip() for key in listed.split(",") if key.strip())


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
