"""A chain of records, each of which holds the hash of the one before it; and what breaks one.

Pure: lines in, lines out. With a key the hashes are HMACs, so that no one without it can write
another chain that fits.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
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

    def head(self, key: bytes | None) -> str:
        """It in one line, which with a key only who has it can write."""
        said = f"{self.count:020} {self.hash}"
        return said if key is None else f"{said} {_seal(said, key)}"


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


def link_of(head: str, key: bytes | None) -> Link:
    """Where a chain stood by its head, which a key has to have signed. Raises: `Broken`."""
    said = re.fullmatch(r"((\d{20}) ([0-9a-f]{64}))(?: ([0-9a-f]{64}))?\n", head)
    if said is None:
        raise Broken("has no head: lines could be missing at its end")
    if key is not None and not hmac.compare_digest(said[4] or "", _seal(said[1], key)):
        raise Broken("its head was changed, or signed with another key")
    return Link(int(said[2]), said[3])


def held(lines: Sequence[str], before: Link, after: Link) -> None:
    """Hold a whole chain to its head, read before and after it: it may grow meanwhile.

    A line stands before its head does, so that a process that ends between them leaves one more.
    Raises: `Broken`.
    """
    if len(lines) < before.count:
        raise Broken(f"{before.count - len(lines)} lines are missing at its end")
    if before.count < 1 or json.loads(lines[before.count - 1])["hash"] != before.hash:
        raise Broken(f"line {before.count} is not the one that its head names")
    if len(lines) > after.count + 1:
        raise Broken(f"{len(lines) - after.count} lines follow the one that its head names")


def _seal(said: str, key: bytes) -> str:
    # No record begins so, nor does a body: neither's digest passes for a head's.
    return hmac.new(key, f"head {said}".encode(), hashlib.sha256).hexdigest()


def _digest(record: dict[str, Any], key: bytes | None) -> str:
    text = json.dumps(record, separators=(",", ":")).encode()
    if key is None:
        return hashlib.sha256(text).hexdigest()
    return hmac.new(key, text, hashlib.sha256).hexdigest()
