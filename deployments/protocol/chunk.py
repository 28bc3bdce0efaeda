"""One piece of an answer on its way from an engine to the gateway: the client's bytes, and what
the gateway must know of them without reading them again."""

from typing import NamedTuple

# Seconds between two accounts of a document that is being made: chunks without data.
PROGRESS_S = 1.0


class Usage(NamedTuple):
    """Tokens of one generation, so far or in all."""

    prompt_tokens: int
    completion_tokens: int


class Chunk(NamedTuple):
    r"""One piece of an answer.

    The last chunk of an answer has `done`; an answer that ends without one was cut.
    """

    # Whole SSE events (`data: {...}\n\n`, never `[DONE]`), or one JSON document; may be empty.
    data: bytes
    # Tokens so far: what is booked if nothing follows.
    usage: Usage
    # Whether `data` says something: text, reasoning, a refusal or a tool call, not only a role.
    content: bool = False
    # OpenAI's finish reason of the last choice that ended in `data`.
    finish_reason: str | None = None
    # Natural log-probabilities of the tokens in `data`, never the tokens; empty where the engine
    # gives none, or none were wanted.
    logprobs: tuple[float, ...] = ()
    # The name under which the replica serves what answered: its own business, so that old and new
    # replicas can stand side by side. Empty where it was said before.
    model: str = ""
    done: bool = False
    # The digest of the release that answered, beside its name: 16 hexadecimal digits, or empty.
    release: str = ""
    # Whether the completion's tokens were estimated: nobody has counted them.
    estimated: bool = False


def joined(first: Chunk, then: Chunk) -> Chunk:
    """Two chunks that follow each other as one."""
    return Chunk(
        first.data + then.data,
        then.usage,
        first.content or then.content,
        then.finish_reason or first.finish_reason,
        first.logprobs + then.logprobs,
        first.model or then.model,
        then.done,
        first.release or then.release,
        then.estimated,
    )
