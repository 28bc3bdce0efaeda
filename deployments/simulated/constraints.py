"""What a request demands of an answer's shape, and what the simulated engine can keep of it.

It honours tool calls, JSON schemas and choices. Sampling fields have nothing to act on: its words
are drawn at random as they are. What is left it refuses, so that no rehearsal believes in it.
"""

import json
import random
from typing import Any

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.request_fields import VLLM_ONLY
from deployments.simulated.schema_json import sample

# Fields of vLLM's that it honours, and those without a meaning for an engine without a model.
HONOURED = frozenset({"structured_outputs", "response_format", "min_tokens"})
WITHOUT_MEANING = frozenset(
    {"top_k", "min_p", "repetition_penalty", "length_penalty", "repetition_detection", "ignore_eos"}
    | {"skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens", "cache_salt"}
    | {"chat_template_kwargs", "documents", "include_reasoning", "thinking_token_budget"}
)


def check_honoured(request: EngineRequest) -> None:
    """Raises: `InvalidRequest` naming the first field that the answer could not keep to."""
    refused = VLLM_ONLY[request.endpoint] - HONOURED - WITHOUT_MEANING
    if request.endpoint == "completions":
        refused |= {"echo"}
    for name, value in request.body.items():
        if name in refused and value is not None and value is not False:
            raise InvalidRequest(f"The simulated engine cannot honour '{name}'.", name)


def constrained_text(body: dict[str, Any], function: str | None, rng: random.Random) -> str | None:
    """A text that keeps to the request's constraint; None where it has none."""
    constraint = body.get("structured_outputs")
    if isinstance(constraint, dict):
        return _structured(constraint, rng)
    schema = _required_json(body, function)
    return None if schema is None else json.dumps(sample(schema, rng))


def _structured(constraint: dict[str, Any], rng: random.Random) -> str:
    """vLLM's `structured_outputs`, as far as a text without a grammar can keep to it."""
    if choice := constraint.get("choice"):
        return str(rng.choice(choice))
    if constraint.get("json_object"):
        return json.dumps({"answer": "simulated"})
    schema = constraint.get("json")
    if isinstance(schema, str):
        schema = json.loads(schema)
    if isinstance(schema, dict):
        return json.dumps(sample(schema, rng))
    raise InvalidRequest(
        "The simulated engine keeps to 'choice' and 'json' only.", "structured_outputs"
    )


def called_function(body: dict[str, Any]) -> str | None:
    """The function that the request forces: `tool_choice` required or named."""
    choice = body.get("tool_choice")
    names = [tool["function"]["name"] for tool in _tools(body)]
    if choice == "required":
        if not names:
            raise InvalidRequest("'tool_choice' needs at least one tool.", "tools")
        return str(names[0])
    if not isinstance(choice, dict):
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if name not in names:
        raise InvalidRequest("'tool_choice' names a function that is not in 'tools'.", "tools")
    return str(name)


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    tools = body.get("tools") or []
    for tool in tools if isinstance(tools, list) else [None]:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest("Each tool must be a function with a name.", "tools")
    return list(tools)


def _required_json(body: dict[str, Any], function: str | None) -> dict[str, Any] | None:
    """The JSON schema that the answer has to satisfy, if any."""
    if function is not None:
        tools = [tool["function"] for tool in _tools(body)]
        chosen = next(tool for tool in tools if tool["name"] == function)
        return chosen.get("parameters") or {"type": "object"}
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if not isinstance(wanted, dict) or kind != "json_schema":
        return None
    described = wanted.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        raise InvalidRequest("'response_format.json_schema.schema' is missing.", "response_format")
    return schema
