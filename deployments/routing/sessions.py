"""What earlier requests of a session or of a turn decided, for a while."""

import hashlib
from typing import NamedTuple

from deployments.routing.sharing import Remembered
from deployments.settings.app import TierName

KEY_BYTES = 16


class Binding(NamedTuple):
    """Where the last answer came from; the domain picks the adapter again."""

    tier: TierName
    domain: str | None = None


class Sessions:
    """Remembers bindings for `ttl_s` after their last use, at most `capacity` of them.

    It is a preference: losing an entry loses nothing but the preference. A key is `KEY_BYTES` long
    however long the client's name for the session is.
    """

    def __init__(self, ttl_s: float, capacity: int = 100_000) -> None:
        self.ttl_s = ttl_s
        # An ended session is one bound to nothing, so that the other gateways hear of its end.
        self.bound = Remembered(capacity)

    def __len__(self) -> int:
        return len(self.bound)

    def get(self, key: bytes | None, now_s: float) -> Binding | None:
        """What is bound to the key and still warm."""
        found = self.bound.get(key) if key is not None else None
        if found is None or found.value is None or now_s - found.stamp_s > self.ttl_s:
            return None
        return Binding(*found.value)

    def put(self, key: bytes, binding: Binding, now_s: float) -> None:
        """Bind the key, or keep it warm; what is cold by now is dropped."""
        self.bound.put(key, tuple(binding), now_s)
        self.bound.drop_before(now_s - self.ttl_s)

    def forget(self, key: bytes, now_s: float) -> None:
        """End the session."""
        # Most keys that end were never bound: only what was is worth a word.
        if self.bound.get(key) is not None:
            self.bound.put(key, None, now_s)


def session_key(caller: bytes, session: str) -> bytes:
    """The key of a client's session: nobody else's, whatever others call theirs."""
    return _key(caller, b"session", session.encode(errors="surrogatepass"))


def turn_key(caller: bytes, said: bytes) -> bytes:
    """The key of a turn, by what the caller's user has said up to it."""
    return _key(caller, b"turn", said)


def _key(caller: bytes, kind: bytes, name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=KEY_BYTES, key=caller[:64], person=kind).digest()
