"""What we hand to vLLM is what vLLM takes: its own parser reads our command line."""

import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson
import pytest

from deployments.protocol.engine import Endpoint
from deployments.protocol.openai_request import parse
from deployments.protocol.request_fields import FIELDS
from deployments.protocol.vllm_body import for_vllm
from deployments.settings.config_mistake import ConfigError
from deployments.settings.vllm import VllmConfig
from deployments.vllm.window import within_window
from tests.request_bodies import CASES, USER, body


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    """`deployments.vllm.engine`; its import takes seconds."""
    with warnings.catch_warnings():
        # torch 2.13 calls what it deprecates itself while it is imported.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        import deployments.vllm.engine

        return deployments.vllm.engine


def parsed(engine: ModuleType, config: VllmConfig) -> Any:
    """Our command line as vLLM's own parser reads it."""
    line = engine.command_line(config, Path("/models/a b"), "my-model")
    return engine.make_arg_parser(engine.FlexibleArgumentParser()).parse_args(line)


# setting -> what vLLM understands
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": (
        {},
        {
            "model": "/models/a b",
            "served_model_name": ["my-model"],
            "max_model_len": 2048,
            "max_num_seqs": 16,
            "kv_cache_memory_bytes": 512 * 1024**2,
            "tensor_parallel_size": 1,
            "enforce_eager": True,
            "enable_auto_tool_choice": True,
            "tool_call_parser": "hermes",
        },
    ),
    "a GPU": (
        {"enforce_eager": False, "dtype": "bfloat16", "tensor_parallel_size": 4},
        {"enforce_eager": False, "dtype": "bfloat16", "tensor_parallel_size": 4},
    ),
    "no tool parser": ({"tool_call_parser": None}, {"enable_auto_tool_choice": False}),
    "adapters": (
        {"max_loras": 2, "max_lora_rank": 32},
        {"enable_lora": True, "max_loras": 2, "max_lora_rank": 32},
    ),
    "no media from anywhere": ({}, {"allowed_media_domains": ["none.invalid"]}),
    "media from two hosts": (
        {"allowed_media_domains": ["a.example", "b.example"]},
        {"allowed_media_domains": ["a.example", "b.example"]},
    ),
    "more options": (
        {"extra_args": {"max-num-batched-tokens": 4096, "seed": 7, "hf-overrides": {"a": 1}}},
        {"max_num_batched_tokens": 4096, "seed": 7, "hf_overrides": {"a": 1}},
    ),
    "an option overridden": ({"extra_args": {"max-num-seqs": 3}}, {"max_num_seqs": 3}),
}


@pytest.mark.parametrize(("settings", "understood"), SETTINGS.values(), ids=SETTINGS)
def test_vllm_reads_our_settings(
    engine: ModuleType, settings: Any, understood: dict[str, Any]
) -> None:
    args = parsed(engine, VllmConfig(**settings))
    assert {name: getattr(args, name) for name in understood} == understood


@pytest.mark.filterwarnings("ignore:max_tokens is deprecated:DeprecationWarning")
@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_vllm_takes_what_the_prompt_leaves_of_the_window(engine: ModuleType, key: str) -> None:
    from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
    from vllm.exceptions import VLLMValidationError

    def asked(body: dict[str, Any]) -> Any:
        said = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}
        request = engine.ChatCompletionRequest.model_validate(said)
        request.build_tok_params(SimpleNamespace(max_model_len=2048))
        return get_max_tokens(2048, getattr(request, key), 2000, {})

    with pytest.raises(VLLMValidationError, match="cannot be greater than max_model_len"):
        asked({key: 4096})
    assert asked(within_window({key: 4096}, 2048)) == 48
    assert asked(within_window({key: 10}, 2048)) == 10


def test_a_folder_without_a_checkpoint_is_named(engine: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no config\.json; put a checkpoint there"):
        engine.resolve_path(str(tmp_path))


def test_a_checkpoint_folder_is_taken_as_it_is(engine: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert engine.resolve_path(str(tmp_path)) == tmp_path


DELTAS: dict[str, tuple[dict[str, Any], bool]] = {
    "who speaks": ({"role": "assistant", "content": ""}, False),
    "nothing": ({}, False),
    "text": ({"content": "Hi"}, True),
    "text that quotes": ({"content": '"content":"'}, True),
    "nothing, around a quote": ({"role": '"content":"x', "content": ""}, False),
    "a thought": ({"reasoning": "Hm"}, True),
    "a tool call": (
        {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f"}}]},
        True,
    ),
}


@pytest.mark.parametrize(("delta", "content"), DELTAS.values(), ids=DELTAS)
@pytest.mark.parametrize("reason", [None, "stop", "tool_calls"])
def test_vllms_events_are_told_from_their_bytes(
    engine: ModuleType, delta: dict[str, Any], content: bool, reason: str | None
) -> None:
    from vllm.entrypoints.openai.chat_completion import protocol

    from deployments.vllm.events import finish_reason, has_content

    choice = protocol.ChatCompletionResponseStreamChoice(
        index=0, delta=protocol.DeltaMessage(**delta), logprobs=None, finish_reason=reason
    )
    event = protocol.ChatCompletionStreamResponse(model="m", choices=[choice])
    text = event.model_dump_json(exclude_unset=True)
    assert (has_content(text), finish_reason(text)) == (content, reason)


TAKEN = [(e, n) for e, n in CASES if FIELDS[e][n].treatment != "refused"]
# Fields in values whose verdict OpenAI and vLLM give differently by themselves.
SPELLINGS: dict[str, dict[str, Any]] = {
    "top_p 0": {"top_p": 0},
    "several greedy": {"temperature": 0, "n": 3},
    "a limit of both kinds": {"max_tokens": 5, "max_completion_tokens": 3},
    "nulls of an answer": {
        "messages": [
            USER,
            {"role": "assistant", "content": "Hi", "tool_calls": None, "refusal": None},
            USER,
        ]
    },
    "no calls": {"messages": [USER, {"role": "assistant", "content": "Hi", "tool_calls": []}]},
    "null options": {"stream": True, "stream_options": {"include_usage": None}},
    "options of nothing": {"stream_options": {}},
    "a choice of none": {"tool_choice": "none"},
    "a schema of nothing": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    },
    "a tag": {"response_format": {"type": "structural_tag", "format": {"type": "any_text"}}},
}


def sampled(engine: ModuleType, endpoint: Endpoint, fields: dict[str, Any]) -> Any:
    """vLLM's sampling parameters for a body that our parser lets in."""
    parsed = parse(endpoint, orjson.dumps(fields))
    made = for_vllm(parsed.body)
    classes = {"chat": engine.ChatCompletionRequest, "completions": engine.CompletionRequest}
    request = classes[endpoint].model_validate(made)
    if request.use_beam_search:
        return request.to_beam_search_params(16, {})
    return request.to_sampling_params(16, {})


@pytest.mark.parametrize(("endpoint", "name"), TAKEN)
def test_vllm_takes_every_field_that_is_let_in(
    engine: ModuleType, endpoint: Endpoint, name: str
) -> None:
    sampled(engine, endpoint, body(endpoint, name))


@pytest.mark.parametrize("fields", SPELLINGS.values(), ids=SPELLINGS)
def test_vllm_takes_every_spelling_that_is_let_in(
    engine: ModuleType, fields: dict[str, Any]
) -> None:
    sampled(engine, "chat", {"model": "auto", "messages": [USER], **fields})


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"structured_outputs": {"choice": ["yes", "no"]}}, {"choice": ["yes", "no"]}),
        ({"guided_choice": ["yes", "no"]}, {"choice": ["yes", "no"]}),
        ({"guided_regex": "a+"}, {"regex": "a+"}),
        ({"guided_grammar": "root ::= 'a'"}, {"grammar": "root ::= 'a'"}),
        ({"guided_json": {"type": "object"}}, {"json": {"type": "object"}}),
        ({"response_format": {"type": "json_object"}}, {"json_object": True}),
    ],
)
def test_a_constraint_is_among_vllms_sampling_parameters(
    engine: ModuleType, endpoint: Endpoint, fields: dict[str, Any], constraint: dict[str, Any]
) -> None:
    least = {"messages": [USER]} if endpoint == "chat" else {"prompt": "Hello"}
    kept = sampled(engine, endpoint, {"model": "auto", **least, **fields}).structured_outputs
    assert {name: getattr(kept, name) for name in constraint} == constraint
