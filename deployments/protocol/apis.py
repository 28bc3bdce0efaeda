"""A body of any API that clients speak, as what engines are asked and how the answer is told."""

from collections.abc import Collection

from deployments.protocol.anthropic_request import parse_messages
from deployments.protocol.api import Api, AsAnswered, Telling
from deployments.protocol.openai_request import ParsedRequest, parse
from deployments.protocol.request_json import load_object
from deployments.protocol.responses_request import parse_responses


def parse_call(api: Api | None, raw: bytes) -> tuple[ParsedRequest, Telling]:
    """The request in a body; without an API, of the one whose fields the body has.

    Raises: `InvalidRequest`, which names the field and repeats nothing of the body.
    """
    api = api or _api_of(load_object(raw).keys())
    if api == "responses":
        return parse_responses(raw)
    if api == "messages":
        return parse_messages(raw)
    return parse(api, raw), AsAnswered()


def _api_of(fields: Collection[str]) -> Api:
    if "messages" in fields:
        return "chat"
    if "input" in fields:
        return "responses"
    return "completions" if "prompt" in fields else "chat"
