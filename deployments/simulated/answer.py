"""What the simulated engine says: a pure function from a request and a seed to its tokens.

Tokens are counted, not tokenised: a prompt has one token per four characters (OpenAI's rule of
thumb for English, help.openai.com/articles/4936856) and four more per chat message (the marks a
ChatML template puts around it); an answer has one token per word, or per four characters of JSON.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import ContextLengthExceeded, InvalidRequest
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.simulated.constraints import called_function, check_honoured, constrained_text

CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
# OpenAI's default for /v1/completions; chat has none.
DEFAULT_COMPLETION_MAX_TOKENS = 16
# OpenAI's limit on `n`.
MAX_CHOICES = 128
OPENING = ("This", " is", " a", " simulated", " answer:")
PROSE = (
    " the river runs past old stone houses while small boats carry fresh bread and warm letters to"
    " people who wait on quiet steps under green trees each morning before work begins again with"
    " clear light over calm water near busy markets full of bright fruit"
)
WORDS = tuple(re.findall(r" \w+", PROSE))
# What does not change the text: how it is delivered, and who asks.
DELIVERY_KEYS = frozenset({"stream", "stream_options", "user", "metadata"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One alternative answer; each piece is one simulated token."""

    pieces: tuple[str, ...]
    finish_reason: str
    function: str | None = None  # set: the pieces are the JSON arguments of a call to it
    stop: str | None = None  # the stop string that ended it, as vLLM names it

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Answer:
    """All choices of one request with their token counts."""

    prompt_tokens: int
    choices: tuple[Choice, ...]

    @property
    def completion_tokens(self) -> int:
        """Tokens of all choices together, as OpenAI's usage counts them."""
        return sum(len(choice.pieces) for choice in self.choices)

    def usage(self, steps: int) -> Usage:
        """Tokens after this many decoding steps."""
        told = [min(steps, len(choice.pieces)) for choice in self.choices]
        return Usage(self.prompt_tokens, sum(told))

    def ended(self, steps: range) -> str | None:
        """The finish reason of the last choice that ends in one of these steps."""
        reasons = [c.finish_reason for c in self.choices if len(c.pieces) - 1 in steps]
        return reasons[-1] if reasons else None

    @property
    def steps(self) -> int:
        """Decoding steps until the longest choice is complete."""
        return max(len(choice.pieces) for choice in self.choices)


def answer(request: EngineRequest, config: SimulatedEngineConfig) -> Answer:
    """The simulated answer: the same seed and request always give the same one.

    With `max_tokens` the text is exactly that long and ends for `length`, so that a load test
    sets its own work, but no longer than the window; without, the length is exponential around
    `mean_completion_tokens`.
    Raises: `InvalidRequest` for a body that no model could answer, `ContextLengthExceeded` when
    the prompt leaves no room for an answer.
    """
    check_honoured(request)
    prompts = list(_prompts(request))
    room = config.max_model_len - max(prompts)
    limit = _limit(request)
    if room < 1:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {config.max_model_len} tokens, but the "
            f"prompt has {max(prompts)}, which leaves none for an answer.",
            "messages" if request.endpoint == "chat" else "prompt",
        )
    limit = None if limit is None else min(limit, room)
    integer(request.body, "top_logprobs", default=0, low=0, high=20)
    per_prompt = integer(request.body, "n", default=1, low=1, high=MAX_CHOICES)
    content = {key: value for key, value in request.body.items() if key not in DELIVERY_KEYS}
    rng = random.Random(f"{config.seed}:{json.dumps(content, sort_keys=True, default=str)}")
    count = len(prompts) * (per_prompt or 1)
    least = integer(request.body, "min_tokens", default=0, low=0) or 0
    lengths = [
        limit or max(least, _natural_length(rng, config.mean_completion_tokens))
        for _ in range(count)
    ]
    choices = tuple(
        _choice(request.body, rng, length, min(room, limit or room)) for length in lengths
    )
    return Answer(sum(prompts), choices)


def integer(
    body: dict[str, Any], key: str, *, default: int | None, low: int, high: int | None = None
) -> int | None:
    """The whole number under `key`; raises `InvalidRequest` when it is none or out of range."""
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"'{key}' must be an integer.", key)
    if value < low or (high is not None and value > high):
        limit = f"between {low} and {high}" if high is not None else f"at least {low}"
        raise InvalidRequest(f"'{key}' must be {limit}.", key)
    return value


def prompt_tokens(request: EngineRequest) -> int:
    """The tokens of a request's prompts together."""
    return sum(_prompts(request))


def _prompts(request: EngineRequest) -> Iterator[int]:
    """The length in tokens of each prompt: one for chat, one or several for completions."""
    if request.endpoint == "chat":
        yield _chat_tokens(request.body.get("messages"))
        return
    prompt = request.body.get("prompt")
    several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    for item in prompt if several and prompt else [prompt]:
        if isinstance(item, str):
            yield _text_tokens(item)
        elif isinstance(item, list) and item and all(isinstance(token, int) for token in item):
            yield len(item)
        else:
            raise InvalidRequest("'prompt' must be text, token ids, or a list of either.", "prompt")


def _text_tokens(text: str) -> int:
    return max(1, len(text) // CHARS_PER_TOKEN)


def _chat_tokens(messages: Any) -> int:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be a list of at least one message.", "messages")
    total = 0
    for message in messages:
        if not isinstance(message, dict):
            raise InvalidRequest("Each message must be an object.", "messages")
        total += TOKENS_PER_MESSAGE + sum(map(_text_tokens, _texts(message.get("content"))))
    return total


def _texts(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
        elif part is not None:
            raise InvalidRequest("This model takes text only.", "messages")


def _natural_length(rng: random.Random, mean_tokens: int) -> int:
    return 1 + min(int(rng.expovariate(1 / mean_tokens)), 4 * mean_tokens)


def _choice(body: dict[str, Any], rng: random.Random, length: int, limit: int) -> Choice:
    function = called_function(body)
    text = constrained_text(body, function, rng)
    if text is None:
        words = (*OPENING, *rng.choices(WORDS, k=max(0, length - len(OPENING))))
        kept = words[: min(length, limit)]
        return _stopped(Choice(kept, "length" if length >= limit else "stop"), body.get("stop"))
    starts = range(0, len(text), CHARS_PER_TOKEN)
    pieces = tuple(text[i : i + CHARS_PER_TOKEN] for i in starts)
    if limit < len(pieces):
        return Choice(pieces[:limit], "length", function)
    return Choice(pieces, "tool_calls" if function else "stop", function)


def _limit(request: EngineRequest) -> int | None:
    default = DEFAULT_COMPLETION_MAX_TOKENS if request.endpoint == "completions" else None
    limit = integer(request.body, "max_tokens", default=default, low=1)
    if request.endpoint == "completions":
        return limit
    return integer(request.body, "max_completion_tokens", default=limit, low=1)


def _stopped(choice: Choice, stop: Any) -> Choice:
    """The choice cut before the first stop string, which OpenAI leaves out of the text."""
    marks = [stop] if isinstance(stop, str) else stop
    if not isinstance(marks, list):
        return choice
    found = [(choice.text.find(mark), mark) for mark in marks if isinstance(mark, str) and mark]
    cut, stop = min(((at, mark) for at, mark in found if at >= 0), default=(None, None))
    if cut is None:
        return choice
    kept: list[str] = []
    for piece in choice.pieces:
        if cut <= 0:
            break
        kept.append(piece[:cut])
        cut -= len(piece)
    return Choice(tuple(kept) or ("",), "stop", stop=stop)
