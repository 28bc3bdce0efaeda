"""A chain of records, each of which holds the hash of the one before it; and what breaks one.

Pure: lines in, lines out. With a key the hashes are HMACs, so that no one without it can write
another chain that fits.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain stands: how many records it has, and the hash of the last."""

    count: int = 0
    hash: str = FIRST

    def next(self, record: dict[str, Any], key: bytes | None) -> tuple[str, "Link"]:
        """The record as a line without its end, and where the chain then stands."""
        body = {"seq": self.count, **record, "prev": self.hash}
        digest = _digest(body, key)
        line = json.dumps({**body, "hash": digest}, separators=(",", ":"))
        return line, Link(self.count + 1, digest)


class Broken(Exception):
    """A chain that somebody changed, or that broke; says where."""


def verified(lines: Iterable[str], key: bytes | None) -> Link:
    """Where a whole chain stands. Raises: `Broken` at the first record that does not fit."""
    link = Link()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            claimed = record.pop("hash")
            seq, prev = record["seq"], record["prev"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Broken(f"line {number} is no record") from None
        if seq != link.count or type(seq) is not int:
            raise Broken(f"line {number} is record {seq!r:.20}, not {link.count}: removed or moved")
        if prev != link.hash:
            raise Broken(f"line {number} does not follow the line before it")
        if not hmac.compare_digest(str(claimed).encode(), _digest(record, key).encode()):
            raise Broken(f"line {number} was changed, or signed with another key")
        if line != json.dumps({**record, "hash": claimed}, separators=(",", ":")):
            raise Broken(f"line {number} was written anew in other words")
        link = Link(link.count + 1, claimed)
    return link


def _digest(record: dict[str, Any], key: bytes | None) -> str:
    text = json.dumps(record, separators=(",", ":")).encode()
    if key is None:
        return hashlib.sha256(text).hexdigest()
    return hmac.new(key, text, hashlib.sha256).hexdigest()
