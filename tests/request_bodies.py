"""A body for every field of a request, with a value that asks for something."""

import typing
from typing import Any

from deployments.protocol.engine import Endpoint
from deployments.protocol.request_fields import FIELDS

USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
ENDPOINTS: tuple[Endpoint, ...] = typing.get_args(Endpoint)
# What turns up beside a field so that it may stand at all.
NEEDED: dict[str, dict[str, Any]] = {
    "stream_options": {"stream": True},
    "top_logprobs": {"logprobs": True},
    "tool_choice": {"tools": [TOOL]},
    "parallel_tool_calls": {"tools": [TOOL]},
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
    "suffix": "x", "input": "x", "prompt_embeds": "AAAA", "echo": True,
    "instructions": "Be kind.", "max_output_tokens": 5, "system": "Be kind.",
    "stop_sequences": ["x"],
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
