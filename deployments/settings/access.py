"""Who may use the endpoint: decided by one rule, in `smallfirst serve` and in every gateway."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator

from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import admin_key_source, key_source, said_auth
from deployments.settings.key_source import KeySource

Auth = Literal["keys", "open"]


def _host_pattern(text: str) -> str:
    """A host's name, `*.` before one, or `*`, in the form that requests are compared in."""
    name = text.lower().removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"\*|(\*\.)?[a-z0-9_.-]+|[0-9a-f:]*:[0-9a-f:.]*:[0-9a-f:.]*", name):
        raise ValueError("a host is a name without scheme and port, '*.example.com' or '*'")
    return name


def _origin(text: str) -> str:
    """An origin as browsers write it."""
    origin = text.lower().removesuffix("/")
    if not re.fullmatch(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s*]+", origin):
        raise ValueError("an origin is scheme, host and port, as 'https://app.example.com', or '*'")
    return origin


HostPattern = Annotated[str, AfterValidator(_host_pattern)]
Origin = Annotated[str, AfterValidator(_origin)]


def keys_due(auth: Auth | None) -> bool | None:
    """Whether keys are asked for even where there are none; None: where there are some."""
    auth = auth or said_auth()
    if auth == "open":
        return False
    return True if auth == "keys" or admin_key_source() is not None else None


def required_keys(auth: Auth | None, host: str | None) -> KeySource | None:
    """Where the keys come from that an endpoint listening on `host` asks for; None: it is open, or
    only an administrator makes them (`keys_due`).

    Open is what says so, or what only this machine reaches. `auth` is the config's word, before
    the environment's.
    Raises: `ConfigError` where keys are due and none are set, or open is said and keys are set.
    """
    auth, source = auth or said_auth(), key_source()
    if auth == "open" and source is not None:
        raise ConfigError(f"auth is open, but {source.variable} is set: drop one of the two")
    if admin_key_source() is not None and source is None and auth != "open":
        # An administrator makes the keys that are asked for.
        return None
    if source is None and auth != "open" and (auth == "keys" or not is_loopback(host)):
        why = "gateway.auth is keys" if auth == "keys" else f"host {host} can be reached by others"
        raise ConfigError(
            f"{why} and there are no API keys: set SMALLFIRST_API_KEYS_FILE or "
            "SMALLFIRST_API_KEYS, or SMALLFIRST_ADMIN_KEYS_FILE to make keys with "
            "`smallfirst keys create`, or say --open (gateway.auth: open)"
        )
    return source


# Asked for every request, mostly with one name; strangers cannot fill more than this.
@lru_cache(maxsize=64)
def is_loopback(host: str | None) -> bool:
    """Whether a host name or address, without its port, is this machine's own for itself only.

    None stands for an endpoint that listens nowhere.
    """
    if host is None:
        return True
    name = host.lower().rstrip(".").removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
