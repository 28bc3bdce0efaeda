"""Request fields that vLLM 0.32 knows beside OpenAI's, by what their loss would mean."""

# Fields of vLLM's own, beside OpenAI's. They shape the sampling or the reply, and an upstream
# without them answers the same question: they stay here.
VLLM_ONLY_FIELDS = frozenset(
    [
        "add_generation_prompt",
        "add_special_tokens",
        "cache_salt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "documents",
        "ec_transfer_params",
        "ignore_eos",
        "include_reasoning",
        "include_stop_str_in_output",
        "kv_transfer_params",
        "length_penalty",
        "media_io_kwargs",
        "min_p",
        "min_tokens",
        "mm_payload",
        "mm_processor_kwargs",
        "priority",
        "repetition_detection",
        "repetition_penalty",
        "request_id",
        "return_mm_kwargs",
        "return_prompt_text",
        "routed_experts_prompt_start",
        "session_id",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "stream_interval",
        "thinking_token_budget",
        "top_k",
        "truncation_side",
        "vllm_xargs",
        "watermarking",
    ]
)
# Of vLLM's own too, but a promise about the answer: without them it would be another answer.
VLLM_ONLY_PROMISES = frozenset(
    [
        "allowed_token_ids",
        "bad_words",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "logprob_token_ids",
        "prompt_embeds",
        "prompt_logprobs",
        "return_token_ids",
        "return_token_offsets",
        "return_tokens_as_token_ids",
        "structured_outputs",
        "truncate_prompt_tokens",
        "use_beam_search",
    ]
)
