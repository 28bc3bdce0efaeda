"""No field of a Responses request vanishes in silence: the table knows every field of OpenAI's and
vLLM's own classes, and the parser does with each what the table says."""

import typing
from typing import Any

import pytest
from openai.types.responses import response_create_params

from deployments.protocol.responses_fields import OWN_WORDS, RESPONSES_FIELDS
from deployments.protocol.responses_request import parse_responses
from tests.request_bodies import OWN, VALUES
from tests.unit.deployments.field_table import FieldTable
from tests.unit.deployments.test_request_fields import class_fields

TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}
BODY = {"model": "auto", "input": "Hello"}
SENT: dict[str, Any] = {
    **VALUES,
    **OWN["chat"],
    "input": "Hello",
    "instructions": "Be kind.",
    "max_output_tokens": 5,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    "tools": [TOOL],
    "tool_choice": "none",
    "include": ["message.output_text.logprobs"],
    "truncation": "auto",
    "max_tool_calls": 3,
    "context_management": [{"type": "compaction"}],
    "stream_options": {"include_obfuscation": False},
    "access_programs": {"cyber": "standard"},
    "enable_response_messages": True,
    "previous_input_messages": [{"role": "user"}],
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
    "background": True,
    "background_options": {"completion_window": "soonest"},
    "prompt": {"id": "p"},
    "image": {"context_compression": "auto"},
}
# What a translated field becomes.
BECOMES: dict[str, dict[str, Any]] = {
    "input": {"messages": [{"role": "user", "content": "Hello"}]},
    "instructions": {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
        ]
    },
    "max_output_tokens": {"max_completion_tokens": 5},
    "reasoning": {"reasoning_effort": "low"},
    "text": {"response_format": {"type": "json_object"}, "verbosity": "low"},
    "tools": {
        "tools": [
            {
                "type": "function",
                "function": {"name": "look_up", "parameters": {"type": "object"}},
            }
        ]
    },
    "tool_choice": {},  # "none": there is nothing to choose from
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "include": {"logprobs": True},
}
BESIDE: dict[str, dict[str, Any]] = {"parallel_tool_calls": {"tools": [TOOL]}}
TABLE = FieldTable(RESPONSES_FIELDS, parse_responses, BODY, SENT, BECOMES, BESIDE)


def test_every_field_of_vllm_and_openai_is_in_the_table() -> None:
    theirs = class_fields("openai/responses", "ResponsesRequest")
    module = response_create_params
    for cls in (
        module.ResponseCreateParamsStreaming,
        module.ResponseCreateParamsNonStreaming,
    ):
        theirs |= set(typing.get_type_hints(cls))
    assert len(theirs) > 60
    assert theirs - RESPONSES_FIELDS.keys() == set()


def test_what_is_not_passed_has_its_reason() -> None:
    TABLE.has_reasons()


@pytest.mark.parametrize("name", RESPONSES_FIELDS)
def test_the_parser_does_what_the_table_says(name: str) -> None:
    TABLE.is_kept(name)


@pytest.mark.parametrize("name", RESPONSES_FIELDS)
def test_null_and_a_value_that_asks_nothing_are_absent(name: str) -> None:
    TABLE.takes_nothing_for_absent(name)


def test_every_translation_has_the_clients_words() -> None:
    became = {name for fields in BECOMES.values() for name in fields}
    said = {name for name in became if name not in RESPONSES_FIELDS or name == "messages"}
    assert said - OWN_WORDS.keys() == set()
