"""Did the model answer at all? Looked at before the first byte is committed.

A small model that ends at once, with no text and no tool call, has given up; the large one gets
the request. Costs a look at the first chunks only.
"""

from collections.abc import Sequence

from deployments.protocol.chunk import Chunk
from deployments.protocol.openai_request import ParsedRequest


def says_nothing(held: Sequence[Chunk]) -> bool:
    """Whether a whole answer has no text, no tool call, and no reason for having none."""
    return not any(chunk.content or chunk.finish_reason for chunk in held)


def gave_up(held: Sequence[Chunk], request: ParsedRequest) -> bool:
    """Whether a whole answer has no text and no tool call, and ended so by itself.

    A stop sequence or a token limit that ends an answer at once is the client's own doing.
    """
    if any(chunk.content for chunk in held):
        return False
    reasons = {chunk.finish_reason for chunk in held} - {None}
    return not reasons or (reasons == {"stop"} and not request.body.get("stop"))
