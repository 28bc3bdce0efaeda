"""Who may ask: the `Authorization` header against the API keys, and a file of them that changes."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Iterable

from deployments.protocol.errors import InvalidApiKey
from deployments.settings.config_mistake import ConfigError
from deployments.settings.key_source import KeySource

log = logging.getLogger("ray.serve")

# A changed file is in force at the second look that finds it the same: twice this, seconds.
LOOK_EVERY_S = 0.5


class ApiKeys:
    """The keys that open the endpoint, as digests; without a source of them it is open."""

    def __init__(self, source: KeySource | None) -> None:
        """Raises: `ConfigError` where the source gives no key: a gateway does not start open."""
        self._source = source
        self._digests = _digests(source.read()) if source else []
        self._last_seen = self._digests
        self._complained = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a key."""
        return self._source is None

    def check(self, authorizations: list[str]) -> None:
        """Let a known key pass. Raises: `InvalidApiKey`."""
        if self._source is None:
            return
        if len(set(authorizations)) > 1:
            raise InvalidApiKey("More than one Authorization header, and they differ.")
        scheme, _, given = (authorizations or [""])[0].partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise InvalidApiKey("You didn't provide an API key: send 'Authorization: Bearer KEY'.")
        digest = _digest(given.strip())
        # Every key is compared, each in constant time: the answer's time tells nothing of a guess.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise InvalidApiKey("Incorrect API key provided.")

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


def _digests(keys: Iterable[str]) -> list[bytes]:
    return sorted(map(_digest, keys))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
