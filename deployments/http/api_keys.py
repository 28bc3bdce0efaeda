"""Who may ask: the `Authorization` header against the API keys, and a file of them that changes."""

import asyncio
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from deployments.protocol.errors import InvalidApiKey, InvalidRequest
from deployments.settings.api_key import FORM, ApiKey, parts
from deployments.settings.config_mistake import ConfigError
from deployments.settings.key_source import KeySource

log = logging.getLogger("ray.serve")

# A changed file is in force at the second look that finds it the same: twice this, seconds.
LOOK_EVERY_S = 0.5
# Ours have 59; what is longer than this is none.
MAX_KEY_CHARACTERS = 1024
KEY_PARAMETER = re.compile(r"(x[-_])?(api[-_]?)?(key|token)|access[-_]token|authorization", re.I)


class Caller(NamedTuple):
    """Who asks: a key's public id, empty where none is asked for; and what the store says of it."""

    key_id: str = ""
    key: ApiKey | None = None


def nobody_kept() -> Mapping[str, ApiKey]:
    """The keys of a store that is not there."""
    return {}


class ApiKeys:
    """The keys that open the endpoint, as digests; without any source of them it is open."""

    def __init__(
        self,
        source: KeySource | None,
        kept: Callable[[], Mapping[str, ApiKey]] = nobody_kept,
        *,
        due: bool | None = None,
    ) -> None:
        """`kept` are the store's keys of now; `due`: whether keys are asked for even without any
        (null: where a source or a kept key is).

        Raises: `ConfigError` where the source gives no key: a gateway does not start open.
        """
        self._source = source
        self._kept = kept
        self._due = due
        self._digests = _digests(source.read()) if source else []
        self._last_seen = self._digests
        self._complained = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a key."""
        if self._due is not None:
            return not self._due
        return self._source is None and not self._kept()

    def check(self, authorizations: list[str]) -> Caller:
        """Who a known key belongs to. Raises: `InvalidApiKey`."""
        if self.is_open:
            return Caller()
        said = {_said(line) for line in authorizations}
        if len(said) > 1:
            raise InvalidApiKey("More than one Authorization header, and they differ.")
        scheme, given = said.pop() if said else ("", "")
        if scheme != "bearer" or not given:
            raise InvalidApiKey("You didn't provide an API key: send 'Authorization: Bearer KEY'.")
        if len(given) > MAX_KEY_CHARACTERS:
            raise InvalidApiKey(f"An API key has at most {MAX_KEY_CHARACTERS} characters.")
        if (caller := self._kept_caller(given)) is not None:
            return caller
        digest = _digest(given)
        # Every key is compared, each in constant time: the answer's time tells nothing of a guess.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise InvalidApiKey("Incorrect API key provided.")
        return Caller(f"file-{digest.hex()[:12]}")

    def _kept_caller(self, given: str) -> Caller | None:
        """Whose kept key it is; None: nobody's. Raises: `InvalidApiKey` where it has ended."""
        if (known := parts(given)) is None:
            return None
        key = self._kept().get(known[0])
        if key is None:
            return None
        now_s = time.time()
        if key.opens(known[1], now_s):
            return Caller(key.key_id, key)
        if (why := key.ended(now_s)) and key.holds(known[1]):
            raise InvalidApiKey(f"This API key is {why}.")
        return None

    def start(self) -> None:
        """Begin to watch a file of keys, on the running event loop."""
        if self._watching is None and self._source is not None and self._source.file is not None:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Read the source again; what two looks in a row find is in force.

        One look alone may have met a file that is being written. What cannot be read, or holds no
        key, changes nothing and is said once.
        """
        if self._source is None:
            return
        try:
            found = _digests(await asyncio.to_thread(self._source.read))
        except ConfigError as error:
            if not self._complained:
                log.warning("%s; the last API keys stay in force", error)
            self._complained = True
            return
        if found == self._last_seen:
            self._complained = False
            if found != self._digests:
                log.info("API keys changed: %d now", len(found))
                self._digests = found
        self._last_seen = found


def refuse_key_in_url(path: str, query: str) -> None:
    """Refuse a key where proxies and browsers write it down. Raises: `InvalidRequest`."""
    asked = parse_qsl(query, keep_blank_values=True) if query else []
    for name, value in [("", path), *asked]:
        if KEY_PARAMETER.fullmatch(name) or FORM.search(value) or FORM.search(name):
            raise InvalidRequest(
                "An API key in a URL ends up in logs: send 'Authorization: Bearer KEY', and "
                "replace this key where it was a real one."
            )


def _said(authorization: str) -> tuple[str, str]:
    """Scheme and key of a header, as far as case and blanks do not matter."""
    scheme, _, given = authorization.strip().partition(" ")
    return scheme.lower(), given.strip()


def _digests(keys: Iterable[str]) -> list[bytes]:
    return sorted(map(_digest, keys))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
