"""No field of a request vanishes in silence: the table knows every field of OpenAI's and vLLM's own
classes, and the parser does with each what the table says."""

import ast
import typing
from importlib import util
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import parse
from deployments.protocol.request_fields import FIELDS, VLLM_ONLY
from deployments.protocol.request_schema import SCHEMAS

USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
ENDPOINTS: tuple[Endpoint, ...] = typing.get_args(Endpoint)
# What turns up beside a field so that it may stand at all.
NEEDED: dict[str, dict[str, Any]] = {
    "stream_options": {"stream": True},
    "top_logprobs": {"logprobs": True},
    "tool_choice": {"tools": [TOOL]},
    "logprob_token_ids": {"logprobs": True},
    "continue_final_message": {"add_generation_prompt": False},
    "guided_whitespace_pattern": {"guided_json": {"type": "object"}},
}
# A value of each field that asks for something.
VALUES: dict[str, Any] = {
    "model": "auto", "messages": [USER], "prompt": "Hello", "stream": True,
    "stream_options": {"include_usage": True}, "temperature": 0.5, "top_p": 0.5, "n": 2,
    "stop": ["x"], "seed": 1, "max_tokens": 5, "max_completion_tokens": 5, "presence_penalty": 1,
    "frequency_penalty": 1, "logit_bias": {"5": 1}, "user": "u", "top_k": 5, "min_p": 0.1,
    "repetition_penalty": 1.1, "length_penalty": 0.9, "use_beam_search": True,
    "watermarking": True, "stop_token_ids": [1], "include_stop_str_in_output": True,
    "ignore_eos": True, "min_tokens": 2, "skip_special_tokens": False,
    "spaces_between_special_tokens": False, "truncate_prompt_tokens": 5, "truncation_side": "left",
    "prompt_logprobs": 1, "logprob_token_ids": [1], "allowed_token_ids": [1], "bad_words": ["x"],
    "structured_outputs": {"choice": ["yes", "no"]}, "guided_json": {"type": "object"},
    "guided_regex": "a+", "guided_choice": ["a"], "guided_grammar": "root ::= 'a'",
    "guided_whitespace_pattern": " ", "guided_decoding_backend": "xgrammar",
    "return_token_ids": True, "return_tokens_as_token_ids": True, "cache_salt": "s",
    "vllm_xargs": {"a": 1}, "thinking_token_budget": 5, "stream_interval": 2, "priority": 1,
    "repetition_detection": {"max_pattern_size": 3, "min_count": 2}, "request_id": "r",
    "session_id": "s", "routed_experts_prompt_start": 1, "return_token_offsets": True,
    "mm_payload": "none", "return_mm_kwargs": True, "kv_transfer_params": {"a": 1},
    "ec_transfer_params": {"a": 1}, "top_logprobs": 2, "tools": [TOOL], "tool_choice": "auto",
    "parallel_tool_calls": False, "response_format": {"type": "json_object"},
    "reasoning_effort": "low", "functions": [{"name": "f"}], "function_call": "auto",
    "audio": {"voice": "x", "format": "wav"}, "modalities": ["text", "audio"],
    "web_search_options": {}, "moderation": {"model": "m"}, "prediction": {"type": "content"},
    "verbosity": "low", "prompt_cache_key": "k", "prompt_cache_options": {"ttl": "30m"},
    "prompt_cache_retention": "24h", "safety_identifier": "s", "metadata": {"a": "b"},
    "store": True, "service_tier": "flex", "add_generation_prompt": False,
    "continue_final_message": True, "documents": [{"text": "x"}], "chat_template": "{{ x }}",
    "chat_template_kwargs": {"a": 1}, "include_reasoning": False, "return_prompt_text": True,
    "media_io_kwargs": {"image": {}}, "mm_processor_kwargs": {"a": 1}, "best_of": 3,
    "suffix": "x", "prompt_embeds": "AAAA", "echo": True,
}  # fmt: skip
# By endpoint, where the same name means two things.
OWN: dict[Endpoint, dict[str, Any]] = {
    "chat": {"logprobs": True, "add_special_tokens": True},
    "completions": {"logprobs": 2, "add_special_tokens": False},
}
CASES = [(endpoint, name) for endpoint in ENDPOINTS for name in FIELDS[endpoint]]


def value(endpoint: Endpoint, name: str) -> Any:
    return OWN[endpoint].get(name, VALUES.get(name))


def body(endpoint: Endpoint, name: str) -> dict[str, Any]:
    least = {"messages": [USER]} if endpoint == "chat" else {"prompt": "Hello"}
    beside = {key: OWN[endpoint].get(key, given) for key, given in NEEDED.get(name, {}).items()}
    return {"model": "auto", **least, name: value(endpoint, name), **beside}


def vllm_fields(endpoint: Endpoint) -> set[str]:
    """The fields of vLLM's request class, read from its source: importing vLLM takes 20 s."""
    spec = util.find_spec("vllm")
    assert spec is not None
    file = {"chat": "chat_completion", "completions": "completion"}[endpoint]
    name = {"chat": "ChatCompletionRequest", "completions": "CompletionRequest"}[endpoint]
    folder = Path((spec.submodule_search_locations or [""])[0])
    source = (folder / "entrypoints/openai" / file / "protocol.py").read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    targets = [node.target for node in found.body if isinstance(node, ast.AnnAssign)]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    return {field for field in names if not field.startswith("_")}


def openai_fields(endpoint: Endpoint) -> set[str]:
    """The parameters of OpenAI's client."""
    module = {"chat": chat_create_params, "completions": completion_create_params}[endpoint]
    classes = (module.CompletionCreateParamsStreaming, module.CompletionCreateParamsNonStreaming)
    return {name for cls in classes for name in typing.get_type_hints(cls)}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_field_of_vllm_and_openai_is_in_the_table(endpoint: Endpoint) -> None:
    theirs = vllm_fields(endpoint) | openai_fields(endpoint)
    assert len(theirs) > 50
    assert theirs - FIELDS[endpoint].keys() == set()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_table_says_truly_whose_a_field_is(endpoint: Endpoint) -> None:
    vllms, openais = vllm_fields(endpoint), openai_fields(endpoint)
    for name, field in FIELDS[endpoint].items():
        if field.treatment == "vllm":
            assert name in vllms - openais, name
        if field.treatment == "passed":
            assert name in vllms & openais, name
        if field.treatment == "openai":
            assert name in openais - vllms, name
            assert field.why, name


def test_what_is_refused_or_dropped_has_its_reason() -> None:
    for table in FIELDS.values():
        for name, field in table.items():
            assert field.why or field.treatment in ("passed", "vllm"), name


@pytest.mark.parametrize(("endpoint", "name"), CASES)
def test_the_parser_does_what_the_table_says(endpoint: Endpoint, name: str) -> None:
    treatment = FIELDS[endpoint][name].treatment
    given = body(endpoint, name)
    assert given[name] is not None, "the test lacks a value"
    raw = orjson.dumps(given)
    if treatment == "refused":
        with pytest.raises(InvalidRequest) as caught:
            parse(endpoint, raw)
        assert caught.value.param == name
        return
    parsed = parse(endpoint, raw)
    passed = treatment in ("passed", "vllm", "openai")
    assert parsed.body.get(name) == (given[name] if passed else None)
    assert (name in parsed.ignored) is (treatment == "ignored")
    if treatment == "vllm":
        assert parsed.needs["vllm"] == name
    if treatment in ("passed", "openai"):
        assert "vllm" not in parsed.needs


OURS = {
    "model": ("model", "auto"),
    "guided_json": ("structured_outputs", {"json": {"type": "object"}}),
    "guided_regex": ("structured_outputs", {"regex": "a+"}),
    "guided_choice": ("structured_outputs", {"choice": ["a"]}),
    "guided_grammar": ("structured_outputs", {"grammar": "root ::= 'a'"}),
    "guided_whitespace_pattern": (
        "structured_outputs",
        {"json": {"type": "object"}, "whitespace_pattern": " "},
    ),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_what_the_gateway_handles_is_handled(endpoint: Endpoint) -> None:
    ours = {name for name, field in FIELDS[endpoint].items() if field.treatment == "ours"}
    assert ours == OURS.keys()
    for name, (becomes, expected) in OURS.items():
        parsed = parse(endpoint, orjson.dumps(body(endpoint, name)))
        assert parsed.model == "auto"
        assert becomes == "model" or parsed.body[becomes] == expected
        assert becomes == "model" or parsed.needs == {"vllm": "structured_outputs"}


@pytest.mark.parametrize(("endpoint", "name"), CASES)
def test_null_and_a_value_that_asks_nothing_are_absent(endpoint: Endpoint, name: str) -> None:
    if name in ("model", "messages", "prompt"):
        return
    field = FIELDS[endpoint][name]
    for nothing in (None, *field.neutral):
        given = body(endpoint, name) | {name: nothing}
        parsed = parse(endpoint, orjson.dumps(given))
        assert name not in parsed.body
        beside = {n for n in NEEDED.get(name, {}) if not n.startswith("guided")}
        assert set(parsed.needs.values()) <= {*beside, "structured_outputs"}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_field_that_is_passed_on_has_a_type(endpoint: Endpoint) -> None:
    typed = set(SCHEMAS[endpoint].model_fields)
    passed = {
        name
        for name, field in FIELDS[endpoint].items()
        if field.treatment in ("passed", "vllm", "openai")
    }
    assert passed - typed == set()


def test_what_only_vllm_knows_differs_by_endpoint() -> None:
    assert "echo" in VLLM_ONLY["chat"] and "echo" not in VLLM_ONLY["completions"]
    assert "response_format" in VLLM_ONLY["completions"] - VLLM_ONLY["chat"]
