"""What an answer has cost so far: as the upstream counts, and estimated where it does not."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from deployments.protocol.chunk import Usage

# OpenAI's rule of thumb for English, used only when an upstream counts nothing.
CHARS_PER_TOKEN = 4
# The largest integer that every JSON reader keeps exactly (RFC 8259, 6); no answer has as many.
MAX_TOKENS = 2**53
# What OpenAI's `usage` always has.
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
# Parts of a message that are not text: their bytes say nothing of their tokens.
NOT_TEXT = frozenset({"image_url", "input_audio", "audio_url", "video_url", "file"})


class Meter:
    """Counts one answer: its tokens as they come, and what the upstream says of them."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._prompt: int | None = None
        self._completion: int | None = None
        self._said: dict[str, Any] = {}
        # Pieces of the answer so far; most upstreams send a token in each.
        self.token_events = 0

    @property
    def counted(self) -> bool:
        """Whether the upstream has said what it counted."""
        return self._prompt is not None and self._completion is not None

    def take(self, usage: Any) -> None:
        """Note a `usage` object; the last one of an answer holds."""
        if not isinstance(usage, dict):
            return
        prompt, completion = map(_count, map(usage.get, ("prompt_tokens", "completion_tokens")))
        if prompt is None and completion is None:
            return
        self._prompt = self._prompt if prompt is None else prompt
        self._completion = self._completion if completion is None else completion
        self._said = usage

    def usage(self) -> Usage:
        """Tokens of the answer: the upstream's count, else an estimate."""
        prompt = self._estimated_prompt if self._prompt is None else self._prompt
        completion = self.token_events if self._completion is None else self._completion
        return Usage(prompt, completion)

    def so_far(self) -> Usage:
        """Tokens so far, while more come: the upstream's last count may be behind."""
        usage = self.usage()
        return usage._replace(completion_tokens=max(usage.completion_tokens, self.token_events))

    def object(self) -> dict[str, Any]:
        """OpenAI's `usage`, with the details that the upstream gave."""
        prompt, completion = self.usage()
        return self._said | {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    @cached_property
    def _estimated_prompt(self) -> int:
        return estimated_tokens([self._body.get(key) for key in ("messages", "prompt", "tools")])


def estimated_tokens(parts: Any) -> int:
    """Tokens in the texts and token ids of nested JSON, roughly."""
    ids, chars, left = 0, 0, [parts]
    while left:
        part = left.pop()
        if isinstance(part, str):
            chars += len(part)
        elif isinstance(part, int):
            ids += 1
        elif isinstance(part, list):
            left.extend(part)
        elif isinstance(part, dict):
            left.extend(value for key, value in part.items() if key not in NOT_TEXT)
    return ids + chars // CHARS_PER_TOKEN


def _count(value: Any) -> int | None:
    """A number of tokens; None for what is none: -1 ("unknown"), true, "12", 1e300."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if is_count(value) else None


def is_count(value: Any) -> bool:
    """Whether it is a number of tokens as every client reads one."""
    return type(value) is int and 0 <= value <= MAX_TOKENS
