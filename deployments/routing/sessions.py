"""What earlier requests of a session or of a turn decided, for a while."""

import hashlib
from collections import OrderedDict
from typing import NamedTuple

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
        self._ttl_s = ttl_s
        self._capacity = capacity
        # The one used longest ago comes first.
        self._bound: OrderedDict[bytes, tuple[float, Binding]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bound)

    def get(self, key: bytes | None, now_s: float) -> Binding | None:
        """What is bound to the key and still warm."""
        found = self._bound.get(key) if key is not None else None
        return found[1] if found is not None and now_s - found[0] <= self._ttl_s else None

    def put(self, key: bytes, binding: Binding, now_s: float) -> None:
        """Bind the key, or keep it warm; what is cold by now is dropped."""
        self._bound[key] = (now_s, binding)
        self._bound.move_to_end(key)
        while len(self._bound) > self._capacity or self._oldest_s() < now_s - self._ttl_s:
            self._bound.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """End the session."""
        self._bound.pop(key, None)

    def _oldest_s(self) -> float:
        return next(iter(self._bound.values()))[0]


def session_key(caller: bytes, session: str) -> bytes:
    """The key of a client's session: nobody else's, whatever others call theirs."""
    return _key(caller, b"session", session.encode(errors="surrogatepass"))


def turn_key(caller: bytes, said: bytes) -> bytes:
    """The key of a turn, by what the caller's user has said up to it."""
    return _key(caller, b"turn", said)


def _key(caller: bytes, kind: bytes, name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=KEY_BYTES, key=caller[:64], person=kind).digest()
