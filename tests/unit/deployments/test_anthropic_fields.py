"""No field of a Messages request vanishes in silence: the table knows every field of Anthropic's
and vLLM's own classes, and the parser does with each what the table says."""

import typing
from typing import Any

import orjson
import pytest
from anthropic.types import beta, message_count_tokens_params, message_create_params

from deployments.protocol.anthropic_fields import COUNT_FIELDS, MESSAGES_FIELDS
from deployments.protocol.anthropic_request import parse_count, parse_messages
from deployments.protocol.errors import InvalidRequest
from tests.request_bodies import VALUES
from tests.unit.deployments.field_table import FieldTable
from tests.unit.deployments.test_request_fields import class_fields

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}
BODY: dict[str, Any] = {
    "model": "auto",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "Hello"}],
}
SENT: dict[str, Any] = {
    **VALUES,
    "messages": BODY["messages"],
    "system": "Be kind.",
    "stop_sequences": ["x"],
    "tools": [{"name": "look_up", "description": "d", "input_schema": SCHEMA}],
    "tool_choice": {"type": "none", "disable_parallel_tool_use": True},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "output_format": {"type": "json_schema", "schema": SCHEMA},
    "thinking": {"type": "disabled"},
    "metadata": {"user_id": "u"},
    "cache_control": {"type": "ephemeral"},
    "context_management": {"edits": []},
    "diagnostics": {},
    "inference_geo": "eu",
    "service_tier": "auto",
    "speed": "fast",
    "user_profile_id": "p",
    "workspace_id": "w",
    "container": "c",
    "mcp_servers": [{"type": "url", "url": "https://x"}],
    "thread": {"id": "t"},
    "compaction": {"type": "auto"},
    "fallbacks": "default",
    "fallback_credit_token": "f",
    "billing_policy": {"type": "x"},
    "betas": ["x"],
    "input": "Hello",
}
FUNCTION = {"name": "look_up", "description": "d", "parameters": SCHEMA}
# What a translated field becomes.
BECOMES: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "Hello"}]},
    "system": {"messages": [{"role": "system", "content": "Be kind."}, *BODY["messages"]]},
    "max_tokens": {"max_completion_tokens": 5},
    "stop_sequences": {"stop": ["x"]},
    "tools": {"tools": [{"type": "function", "function": FUNCTION}]},
    "tool_choice": {"tool_choice": "none", "parallel_tool_calls": False},
    "output_config": {
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA},
        },
    },
    "output_format": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA},
        }
    },
    "thinking": {"reasoning_effort": "none"},
    "metadata": {"user": "u"},
}
BESIDE = {"tool_choice": {"tools": SENT["tools"]}}
TABLE = FieldTable(MESSAGES_FIELDS, parse_messages, BODY, SENT, BECOMES, BESIDE)


def test_every_field_of_vllm_and_anthropic_is_in_the_table() -> None:
    theirs = class_fields("anthropic", "AnthropicMessagesRequest")
    for module in (message_create_params, beta.message_create_params):
        for cls in (module.MessageCreateParamsStreaming, module.MessageCreateParamsNonStreaming):
            theirs |= set(typing.get_type_hints(cls))
    for counts in (message_count_tokens_params, beta.message_count_tokens_params):
        theirs |= set(typing.get_type_hints(counts.MessageCountTokensParams))
    assert len(theirs) > 30
    assert theirs - MESSAGES_FIELDS.keys() == set()


def test_what_is_not_passed_has_its_reason() -> None:
    TABLE.has_reasons()


@pytest.mark.parametrize("name", MESSAGES_FIELDS)
def test_the_parser_does_what_the_table_says(name: str) -> None:
    TABLE.is_kept(name)


@pytest.mark.parametrize("name", MESSAGES_FIELDS)
def test_null_and_a_value_that_asks_nothing_are_absent(name: str) -> None:
    TABLE.takes_nothing_for_absent(name)


def test_a_count_takes_what_it_can_do_without_and_no_thread() -> None:
    given = {n: SENT[n] for n in ("model", "messages", "compaction", "context_management")}
    assert set(COUNT_FIELDS) == set(MESSAGES_FIELDS)
    assert parse_count(orjson.dumps(given)).body["messages"] == BODY["messages"]
    with pytest.raises(InvalidRequest) as caught:
        parse_count(orjson.dumps({**given, "thread": SENT["thread"]}))
    assert caught.value.param == "thread"


def test_what_is_counted_is_what_would_be_asked() -> None:
    given = {**BODY, **{name: SENT[name] for name in ("system", "tools", "thinking")}}
    asked, _ = parse_messages(orjson.dumps(given))
    counted = parse_count(orjson.dumps({k: v for k, v in given.items() if k != "max_tokens"}))
    for name in ("messages", "tools", "reasoning_effort"):
        assert counted.body[name] == asked.body[name]
