"""What a request may cost at most, before anybody has seen it: pure, and never too little.

An answer is as long as the request allows. One that names no limit is given one, because only then
is the most that it costs known: several times what answers to this key were long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from deployments.protocol.chunk import Usage
from deployments.protocol.openai_request import ParsedRequest

# A tokenizer makes at most one token of a byte; a template adds some around each message and its
# own system prompt.
TOKENS_PER_MESSAGE = 16
TOKENS_OF_TEMPLATE = 256
# The most that a picture becomes in the models of vLLM 0.32.
TOKENS_PER_PICTURE = 16_384
# Of answers without a limit: before there is a history, and what history may say.
FIRST_TOKENS = 2048
FEWEST_TOKENS = 512
MOST_TOKENS = 16_384
TIMES_HISTORY = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most tokens that one generation of a request can have."""

    usage: Usage
    # The limit that is put into a request that names none; None: it names one.
    limit: int | None
    answers: int = 1


UNLIMITED = Estimate(Usage(0, 0), None)


def estimate(request: ParsedRequest, lengths: Sequence[int]) -> Estimate:
    """The most tokens of a request; `lengths` are completion tokens of the key's last answers."""
    body = request.body
    named: int | None = body.get("max_completion_tokens", body.get("max_tokens"))
    longest = max(_usual(lengths), body.get("min_tokens") or 0) if named is None else named
    answers: int = body.get("n") or 1
    prompts = body.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    most = Usage(_prompt_tokens(body), answers * longest)
    return Estimate(most, longest if named is None else None, answers)


def limited(request: ParsedRequest, limit: int | None) -> dict[str, Any]:
    """The request's body with the limit that it lacks."""
    if limit is None:
        return request.body
    name = "max_completion_tokens" if request.endpoint == "chat" else "max_tokens"
    return {**request.body, name: limit}


def _usual(lengths: Sequence[int]) -> int:
    if not lengths:
        return FIRST_TOKENS
    nearly_all = sorted(lengths)[int(len(lengths) * 0.95)]
    return min(MOST_TOKENS, max(FEWEST_TOKENS, TIMES_HISTORY * nearly_all))


def _prompt_tokens(body: dict[str, object]) -> int:
    """At most so many tokens; a picture's bytes are none of them."""
    size = len(orjson.dumps(body))
    messages = body.get("messages")
    count = len(messages) if isinstance(messages, list) else 1
    pictures = [url for url in _pictures(messages) if isinstance(url, str)]
    size += sum(TOKENS_PER_PICTURE - len(url) for url in pictures)
    return size + count * TOKENS_PER_MESSAGE + TOKENS_OF_TEMPLATE


def _pictures(messages: object) -> list[object]:
    found: list[object] = []
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            image = part.get("image_url") if isinstance(part, dict) else None
            found.append(image.get("url") if isinstance(image, dict) else image)
    return found
