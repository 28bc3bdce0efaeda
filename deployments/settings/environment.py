"""The one module that reads the process environment: secrets, and where files live."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from deployments.settings.config_mistake import ConfigError
from deployments.settings.key_source import KeySource, mistake_in, without_padding

# What `serve --open` says to the replicas that it starts, now and after a swap.
AUTH = "SMALLFIRST_AUTH"

# Inherited by every process of a cluster that `smallfirst serve` starts, so that stopping it finds
# all of them and only them, and `/readyz` can say whose endpoint it is.
CLUSTER_MARK = "SMALLFIRST_CLUSTER"


def _variable_name(text: str) -> str:
    # Not shown: what is none is mostly the secret itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("must be the NAME of an environment variable, never what it holds")
    return text


VariableName = Annotated[str, AfterValidator(_variable_name)]


def key_source() -> KeySource | None:
    """Where the keys that clients may use come from; None where neither variable is set.

    Source: `SMALLFIRST_API_KEYS_FILE` (one key a line, `#` comments), else `SMALLFIRST_API_KEYS`
    (comma-separated).
    """
    return _key_source("SMALLFIRST_API_KEYS")


def admin_key_source() -> KeySource | None:
    """Where the keys that administer the accounts come from; None: nobody does.

    Source: `SMALLFIRST_ADMIN_KEYS_FILE`, else `SMALLFIRST_ADMIN_KEYS`, in the same form.
    """
    return _key_source("SMALLFIRST_ADMIN_KEYS")


def _key_source(variable: str) -> KeySource | None:
    file = os.environ.get(f"{variable}_FILE")
    if file is not None:
        return KeySource(f"{variable}_FILE", file=Path(file))
    listed = os.environ.get(variable)
    return None if listed is None else KeySource(variable, listed=listed)


def said_auth() -> Literal["keys", "open"] | None:
    """`SMALLFIRST_AUTH`: what `gateway.auth` is where the config says nothing; None: unset.

    Raises: `ConfigError` on any other word.
    """
    match os.environ.get(AUTH, ""):
        case "":
            return None
        case "keys" | "open" as said:
            return said
    raise ConfigError(f"{AUTH} must be keys or open")


def secret(variable: str | None) -> str | None:
    """The value of the named variable without blanks around it; None where it is unset or empty.

    Raises: `ConfigError`, with the variable's name and never its value, where an HTTP header could
    not carry it.
    """
    value = without_padding(os.environ.get(variable, "")) if variable else ""
    if not all("\x20" <= character <= "\x7e" for character in value):
        raise ConfigError(
            f"{variable}: not one line of printable ASCII, which is what an HTTP header carries"
        )
    return value or None


def usable_key(variable: str | None, key: str | None) -> str | None:
    """An upstream's key without the line end and the mark that files bring along.

    Raises: `ConfigError` where there is none, or it holds what a header cannot carry.
    """
    key = without_padding(key or "")
    if variable is None:
        return key or None
    if not key:
        raise ConfigError(
            f"api_key_env: the environment variable {variable} is not set; "
            "set it to the key of the upstream, or remove api_key_env."
        )
    if wrong := mistake_in(key):
        raise ConfigError(f"api_key_env: in the environment variable {variable}, {wrong}")
    return key


def audit_key(variable: str | None) -> bytes | None:
    """The secret that signs the audit log; None where the config names none.

    Raises: `ConfigError` where the variable that it names holds none: an unsigned log would pass
    for what the operator wanted.
    """
    if variable is None:
        return None
    value = secret(variable)
    if value is None:
        raise ConfigError(f"privacy.audit_key_env: {variable} is not set; set it to a secret")
    return value.encode()


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


def ray_uses_tls() -> bool:
    """Whether Ray encrypts what its processes send each other (`RAY_USE_TLS`)."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def client_key(file: Path | None) -> str | None:
    """The API key that our own commands send; None where there is none.

    Source: the first key in `file` (one a line, `#` comments: the server's own key file will do),
    else `SMALLFIRST_API_KEY`.
    Raises: `ConfigError` where the file cannot be read or holds no key, or no header can carry it.
    """
    if file is None:
        return secret("SMALLFIRST_API_KEY")
    return KeySource("--key-file", file=file).in_order()[0]


def admin_key(file: Path | None) -> str:
    """The key that our own commands administer with: the first in `file`, else of what the server
    reads its own from.

    Raises: `ConfigError` where there is none, or it cannot be read.
    """
    source = KeySource("--admin-key-file", file=file) if file else admin_key_source()
    if source is None:
        raise ConfigError(
            "no administrator's key: name a file of it with --admin-key-file, or in "
            "SMALLFIRST_ADMIN_KEYS_FILE"
        )
    return source.in_order()[0]


def cluster_mark() -> str | None:
    """The mark of the local cluster that this process belongs to, which is no secret; None where
    none of ours started it."""
    return os.environ.get(CLUSTER_MARK)


def number(variable: str, default: int) -> int:
    """A whole number that another program reads from the environment too."""
    said = os.environ.get(variable, "")
    return int(said) if said.isdigit() else default


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
