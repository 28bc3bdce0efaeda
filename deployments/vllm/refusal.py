"""What vLLM's refusals mean to our client, and nothing of the request that they quote.

vLLM's messages hold values, patterns and whole validation reports of what a client sent. Kept are
the parameter, where it is one we know, and the numbers of a context window that is full.
"""

import re

from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    ServingError,
    by_status,
)
from deployments.protocol.request_fields import FIELDS

# vLLM 0.32 has no error class for it (renderers/params.py, serve/utils/api_utils.py). At the start
# of the message only: further on could be the client's own words.
_CONTEXT = re.compile(r"This model's maximum context length is |Input length \(\d+\) exceeds")
# A prompt that fills the window to its last token fails on what is left (sampling_params.py).
_FULL = re.compile(r"max_tokens must be at least 1, got 0\b")
_NUMBERS = re.compile(r"\d{1,9}")
_WORD = re.compile(r"[a-z_]+")
_NAMES = frozenset(name for table in FIELDS.values() for name in table)
# A message names its parameter early, or not at all.
_LOOKED_AT_CHARS = 200


def refusal(status: int, message: str, param: str | None) -> ServingError:
    """Our error for vLLM's answer of this status."""
    if status < 500 and _FULL.match(message):
        return ContextLengthExceeded("The prompt fills the model's context window.", "messages")
    if status < 500 and is_context_error(message):
        numbers = " and ".join(_NUMBERS.findall(message)[:2])
        return ContextLengthExceeded(
            f"The prompt does not fit the model's context window (tokens: {numbers}).", "messages"
        )
    if status >= 500 and status != 503:
        return EngineFailure("The model's engine failed on this request.")
    known = parameter(message, param)
    what = f"the parameter '{known}'" if known else "this request"
    return by_status(status)(f"The model's engine refused {what}.", known)


def is_context_error(message: str) -> bool:
    """Whether vLLM says that the prompt exceeds the context window."""
    return _CONTEXT.match(message) is not None


def parameter(message: str, given: str | None) -> str | None:
    """The request's field that vLLM's error is about, if it is told."""
    if given is not None:
        field = given.partition(".")[0]
        return given if _WORD.fullmatch(given.replace(".", "_")) and field in _NAMES else None
    # A validation report has its location in the second line, another message its field early.
    text = message.partition("\n")[2] or message
    for word in _WORD.findall(text[:_LOOKED_AT_CHARS]):
        if word in _NAMES and ("_" in word or text.startswith(word)):
            return str(word)
    return None
