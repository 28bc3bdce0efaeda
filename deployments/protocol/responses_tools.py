"""The tools of a Responses request as chat's, which knows functions only.

A custom tool takes plain text: to a model it is a function with that text as its one argument.
"""

import json
import re
from typing import Any

import orjson

from deployments.protocol.openai_request import without_nulls_of
from deployments.protocol.responses_schema import (
    AllowedTools,
    CustomTool,
    FunctionTool,
    NamedTool,
    ResponsesRequest,
)

INPUT = "input"
_FREE_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}


# As much of such arguments as an answer that was cut has of them, up to the text's end.
_BEGUN = re.compile(r'\s*\{\s*"input"\s*:\s*"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')


def tool_fields(request: ResponsesRequest) -> dict[str, Any]:
    """`tools` and `tool_choice`, where the request has them."""
    choice = request.tool_choice
    tools = [t for t in request.tools or [] if isinstance(t, FunctionTool | CustomTool)]
    if isinstance(choice, AllowedTools):
        allowed = {tool.name for tool in choice.tools}
        tools = [tool for tool in tools if tool.name in allowed]
    fields: dict[str, Any] = {"tools": list(map(_tool, tools))} if tools else {}
    if isinstance(choice, str):
        # OpenAI's own default, which its clients send without tools too.
        return fields if choice == "auto" and not tools else {**fields, "tool_choice": choice}
    if isinstance(choice, AllowedTools):
        return {**fields, "tool_choice": choice.mode}
    if isinstance(choice, NamedTool):
        named = {"type": "function", "function": {"name": choice.name}}
        return {**fields, "tool_choice": named}
    return fields


def custom_names(request: ResponsesRequest) -> frozenset[str]:
    """The tools whose calls are told as plain text."""
    return frozenset(tool.name for tool in request.tools or [] if isinstance(tool, CustomTool))


def called_custom(text: str) -> str:
    """The arguments that a call of a custom tool has as a function."""
    return orjson.dumps({INPUT: text}).decode()


def custom_input(arguments: str) -> str:
    """The plain text in such arguments, also where they were cut; what a model wrote instead of
    them as it is."""
    try:
        told = orjson.loads(arguments)
    except ValueError:
        return _begun_input(arguments)
    text = told.get(INPUT) if isinstance(told, dict) else None
    return text if isinstance(text, str) else arguments


def _begun_input(arguments: str) -> str:
    if f'{{"{INPUT}":"'.startswith("".join(arguments.split())):
        return ""
    begun = _BEGUN.match(arguments)
    if begun is None:
        return arguments
    try:
        text: str = json.loads(f'"{begun[1]}"', strict=False)
    except ValueError:  # an escape that JSON does not have
        return begun[1]
    return text.encode("utf-8", "ignore").decode()  # half of a character is none


def _tool(tool: FunctionTool | CustomTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if isinstance(tool, FunctionTool):
        function |= {"parameters": tool.parameters, "strict": tool.strict}
    else:
        function["parameters"] = _FREE_TEXT
    return {"type": "function", "function": without_nulls_of(function)}
