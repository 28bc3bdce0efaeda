"""Tells events from a document by how an answer begins: upstreams may ignore what they were asked
for, and gateways before them label one as the other, or not at all.
"""

from collections.abc import AsyncIterator

from deployments.egress.door import Answer
from deployments.upstream.sse import BOM

# What a line of server-sent events begins with, and what a document does.
EVENTS = (b"data", b"event", b":", b"id:", b"retry:")
DOCUMENT = (b"{", b"[")
# No name of a field is longer; and what is blank for so long is as good as empty.
ENOUGH_BYTES, BLANK_BYTES = 8, 64 * 2**10


def says_json(answer: Answer) -> bool:
    """Whether the upstream calls its answer a document."""
    return "json" in answer.headers.get("content-type", "")


async def beginning(read: AsyncIterator[bytes]) -> bytes:
    """As much of an answer as tells what it is."""
    begun = b""
    async for some in read:
        begun += some
        plain = begun.removeprefix(BOM).lstrip()
        if len(plain) >= ENOUGH_BYTES or len(begun) > BLANK_BYTES:
            break
    return begun


def are_events(begun: bytes, answer: Answer, asked: bool) -> bool:
    """Whether an answer that begins so is a stream; by its label, where that does not show.

    `asked`: it was asked to be one.
    """
    plain = begun.removeprefix(BOM).lstrip()
    if plain.startswith((*EVENTS, *DOCUMENT)):
        return plain.startswith(EVENTS)
    kind = answer.headers.get("content-type", "")
    return "event-stream" in kind or (asked and not says_json(answer))


async def again(begun: bytes, read: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """All bytes of an answer, of which some were read to look at."""
    if begun:
        yield begun
    async for some in read:
        yield some
