"""Which of vLLM's own tests of its HTTP server are run, and why the others are not."""

IN_PROCESS = "asks no server: it looks at vLLM's own classes in process"
GPT_OSS = "wants gpt-oss, whose answers vLLM reads by a parser of their own"
OTHER_START = "wants a server that is started with other options than the one under test"
# By file below `tests/entrypoints`: why it is left out, or "" where it is run.
FILES = {
    "anthropic/test_anthropic_messages_conversion.py": IN_PROCESS,
    "anthropic/test_messages.py": "",
    "anthropic/test_protocol_exports.py": IN_PROCESS,
    "openai/chat_completion/test_batched_chat_completions.py": "",
    "openai/chat_completion/test_chat.py": "",
    "openai/chat_completion/test_chat_completion.py": "",
    "openai/chat_completion/test_chat_completion_with_prompt_embeds.py": (
        "sends pickled tensors, which we take from nobody"
    ),
    "openai/chat_completion/test_chat_echo.py": "",
    "openai/chat_completion/test_chat_error.py": IN_PROCESS,
    "openai/chat_completion/test_chat_logit_bias_validation.py": "",
    "openai/chat_completion/test_completion_with_function_calling.py": "",
    "openai/chat_completion/test_enable_force_include_usage.py": OTHER_START,
    "openai/chat_completion/test_extra_content_fields.py": (
        "wants a model whose template reads fields that no other does"
    ),
    "openai/chat_completion/test_include_reasoning.py": "wants a model that thinks",
    "openai/chat_completion/test_logprob_token_ids.py": "",
    "openai/chat_completion/test_non_object_body_validation.py": IN_PROCESS,
    "openai/chat_completion/test_root_path.py": OTHER_START,
    "openai/chat_completion/test_serving_chat.py": GPT_OSS,
    "openai/chat_completion/test_thinking_token_budget.py": "wants a model that thinks",
    "openai/chat_completion/test_thinking_token_budget_validation.py": IN_PROCESS,
    "openai/completion/test_completion.py": "",
    "openai/completion/test_completion_error.py": IN_PROCESS,
    "openai/completion/test_completion_text_offset.py": IN_PROCESS,
    "openai/completion/test_completion_with_prompt_embeds.py": (
        "sends pickled tensors, which we take from nobody"
    ),
    "openai/completion/test_lora_resolvers.py": IN_PROCESS,
    "openai/completion/test_prompt_validation.py": "",
    "openai/completion/test_tensorizer_entrypoint.py": OTHER_START,
    "openai/completion/test_token_in_token_out.py": OTHER_START,
    "openai/correctness/test_lmeval.py": "a benchmark of a model, from a hub",
    "openai/models/test_models.py": "wants adapters from a hub",
    "openai/parser/test_harmony_render_parity.py": IN_PROCESS,
    "openai/parser/test_harmony_utils.py": IN_PROCESS,
    "openai/responses/test_basic.py": "",
    "openai/responses/test_errors.py": IN_PROCESS,
    "openai/responses/test_function_call.py": "",
    "openai/responses/test_function_call_parsing.py": IN_PROCESS,
    "openai/responses/test_harmony.py": GPT_OSS,
    "openai/responses/test_harmony_utils.py": IN_PROCESS,
    "openai/responses/test_mcp_tools.py": GPT_OSS,
    "openai/responses/test_namespace_tool_separator.py": "",
    "openai/responses/test_parsable_context.py": OTHER_START,
    "openai/responses/test_parsable_context_unit.py": IN_PROCESS,
    "openai/responses/test_protocol.py": IN_PROCESS,
    "openai/responses/test_response_input_to_harmony.py": IN_PROCESS,
    "openai/responses/test_responses_utils.py": IN_PROCESS,
    "openai/responses/test_sampling_params.py": IN_PROCESS,
    "openai/responses/test_serving_responses.py": IN_PROCESS,
    "openai/responses/test_simple.py": "",
    "openai/responses/test_stateful.py": OTHER_START,
    "openai/responses/test_streaming_events.py": IN_PROCESS,
    "openai/responses/test_structured_output.py": "",
    "openai/test_chunked_prompt.py": "",
    "openai/test_openai_schema.py": (
        "random requests for a model of images by vLLM's own OpenAPI document, which has what we"
        " do not serve"
    ),
    "openai/test_penalty_default_resolution.py": IN_PROCESS,
    "openai/test_reasoning_enable_thinking.py": IN_PROCESS,
    "openai/test_render_parity.py": IN_PROCESS,
    "openai/test_render_token_offsets.py": IN_PROCESS,
    "openai/test_return_token_ids.py": "",
    "openai/test_return_tokens_as_ids.py": "",
    "openai/test_session_id.py": IN_PROCESS,
    "openai/test_stop_token_ids.py": IN_PROCESS,
    "openai/test_tool_calls_serialization.py": IN_PROCESS,
    "openai/test_tool_choice_content_none.py": IN_PROCESS,
    "openai/test_watermarking.py": IN_PROCESS,
    "serve/instrumentator/test_basic.py": "",
    "serve/tokenize/test_tokenization.py": "",
}
# Expressions of pytest's -k, each with the reason why what it selects is left out.
LEFT_OUT = {
    "zephyr-lora": "wants adapters from a hub",
}
# By test, without its parameters: passes on bare vLLM, fails here, and stays so.
_CHAT = "openai/chat_completion"
_LOGIT = f"{_CHAT}/test_chat_logit_bias_validation.py"
_WORDS = (
    "the same 400 for the same field; the test looks for the request's value in it, and an error"
    " here repeats nothing of a request"
)
_BATCH = "vLLM's own endpoint of several chats at once; here each is routed, so each is a request"
_KV = "prefill and decoding are not apart here: the fields are refused by name"
_RESPONSES = "openai/responses"
ACCEPTED: dict[str, str] = {
    f"{_CHAT}/test_chat.py::test_invocations": "SageMaker's own path",
    f"{_CHAT}/test_chat.py::test_long_seed": _WORDS,
    f"{_LOGIT}::test_chat_logit_bias_invalid": _WORDS,
    f"{_LOGIT}::test_chat_logit_bias_non_integer_key": _WORDS,
    f"{_LOGIT}::test_chat_logit_bias_multiple_non_integer_keys": _WORDS,
    f"{_CHAT}/test_chat_completion.py::test_kv_transfer_prompt_token_ids_round_trip": _KV,
    f"{_CHAT}/test_chat_completion.py::test_kv_transfer_prompt_token_ids_streaming": _KV,
    f"{_RESPONSES}/test_simple.py::test_streaming_logprobs": (
        "a stream that the limit of tokens ends is `response.incomplete`, as OpenAI sends it; vLLM "
        "says `response.completed`. Passes where the answer ends by itself"
    ),
    "serve/instrumentator/test_basic.py::test_show_version": "the version is ours",
}
# By file, as above.
ACCEPTED_FILES = {f"{_CHAT}/test_batched_chat_completions.py": _BATCH}
