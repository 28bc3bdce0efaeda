"""Who may ask: the `Authorization` header against the known API keys."""

import hashlib
import hmac
from collections.abc import Iterable

from deployments.protocol.errors import InvalidApiKey


class ApiKeys:
    """The known keys, as digests. Without any the endpoint is open."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def check(self, authorization: str) -> None:
        """Let a known key pass. Raises: `InvalidApiKey`."""
        if not self._digests:
            return
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise InvalidApiKey("You didn't provide an API key: send 'Authorization: Bearer KEY'.")
        digest = _digest(given.strip())
        # Every key is compared, each in constant time: the answer's time tells nothing of a guess.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise InvalidApiKey("Incorrect API key provided.")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
