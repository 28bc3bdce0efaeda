"""A body of any API that clients speak, as what engines are asked and how the answer is told."""

from typing import Any

from deployments.protocol.anthropic_request import parse_messages
from deployments.protocol.api import Api, AsAnswered, Telling
from deployments.protocol.openai_request import ParsedRequest, parse
from deployments.protocol.request_json import load_object
from deployments.protocol.responses_request import parse_responses

# Types of a message's parts that chat has not.
_BLOCKS = ("image", "tool_use", "tool_result", "thinking", "redacted_thinking")


def parse_call(api: Api | None, raw: bytes) -> tuple[ParsedRequest, Telling]:
    """The request in a body; without an API, of the one whose fields the body has.

    Raises: `InvalidRequest`, which names the field and repeats nothing of the body.
    """
    api = api or _api_of(load_object(raw))
    if api == "responses":
        return parse_responses(raw)
    if api == "messages":
        return parse_messages(raw)
    return parse(api, raw), AsAnswered()


def _api_of(body: dict[str, Any]) -> Api:
    if "messages" in body:
        return "messages" if _is_anthropics(body) else "chat"
    if "input" in body:
        return "responses"
    return "completions" if "prompt" in body else "chat"


def _is_anthropics(body: dict[str, Any]) -> bool:
    """Whether a body with messages has what only Anthropic's API knows."""
    if body.get("system") is not None or body.get("stop_sequences") is not None:
        return True
    if any("input_schema" in tool for tool in _objects(body.get("tools"))):
        return True
    return any(
        block.get("type") in _BLOCKS
        for message in _objects(body["messages"])
        for block in _objects(message.get("content"))
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
