"""What a server-sent event of vLLM's says, told from its bytes alone: nothing parses an event that
only passes through."""

import re
from typing import Any

from deployments.protocol.chunk import Chunk, Usage

# The first bytes of a streamed error, and of the end that the gateway adds itself.
STREAMED_ERROR = 'data: {"error"'
DONE = "data: [DONE]"
# A key of a choice that says something, with more than an empty text, or a list, behind it. In the
# text of an answer the quotes would be escaped.
_CONTENT = re.compile(
    r'"(?:content|text|reasoning|reasoning_content|refusal|arguments)":\s*"(?!")'
    r'|"tool_calls":\s*\[\s*\{'
)
_FINISH = re.compile(r'"finish_reason":\s*"(\w+)"')


def has_content(event: str) -> bool:
    """Whether an event carries text, reasoning, a refusal or a tool call."""
    return _CONTENT.search(event) is not None


def finish_reason(event: str) -> str | None:
    """The finish reason of the last choice that ends in an event."""
    found = _FINISH.findall(event)
    return found[-1] if found else None


def document(answer: Any) -> Chunk:
    """vLLM's whole answer, chat's or a completion's."""
    counted = answer.usage
    usage = Usage(counted.prompt_tokens, counted.completion_tokens or 0)
    reason = answer.choices[-1].finish_reason if answer.choices else None
    data = answer.model_dump_json()
    return Chunk(data.encode(), usage, has_content(data), reason, done=True)
