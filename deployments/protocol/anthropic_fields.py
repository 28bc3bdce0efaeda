"""What becomes of every field of a Messages request, held to Anthropic's and vLLM's own classes by
`tests/unit/deployments/test_anthropic_fields.py`.

A field of the same name and meaning as one of chat's is treated as that is.
"""

from deployments.protocol.request_fields import FIELDS, Field
from deployments.protocol.structured_outputs import GUIDED

_SAME_AS_CHAT = (
    *("model", "stream", "temperature", "top_p", "top_k", "cache_salt", "watermarking"),
    *("vllm_xargs", "chat_template_kwargs", "mm_payload", "return_mm_kwargs"),
    *("kv_transfer_params", "ec_transfer_params"),
)

MESSAGES_FIELDS: dict[str, Field] = {
    **{name: FIELDS["chat"][name] for name in _SAME_AS_CHAT},
    "messages": Field("translated", "messages; an answer begun for the model is continued"),
    "system": Field("translated", "the first of messages"),
    "max_tokens": Field("translated", "max_completion_tokens"),
    "stop_sequences": Field("translated", "stop", ([],)),
    "tools": Field("translated", "tools"),
    "tool_choice": Field("translated", "tool_choice, parallel_tool_calls"),
    "output_config": Field("translated", "reasoning_effort, response_format", ({},)),
    "output_format": Field("translated", "response_format; output_config.format's older name"),
    "thinking": Field("translated", "reasoning_effort none where disabled; no budget is kept"),
    "metadata": Field("translated", "user", ({},)),
    "cache_control": Field("ignored", "vLLM keeps prefixes without it"),
    "context_management": Field("ignored", "nothing is cut out of a conversation"),
    "diagnostics": Field("ignored", "a provider's cache is not here"),
    "inference_geo": Field("ignored", "x-smallfirst-local-only keeps a request in the cluster"),
    "service_tier": Field("ignored", "there is one class of service"),
    "speed": Field("ignored", "there is one class of service"),
    "user_profile_id": Field("ignored", "a provider's accounts are not here"),
    "workspace_id": Field("ignored", "a provider's accounts are not here"),
    "container": Field("refused", "no model here runs code"),
    "mcp_servers": Field("refused", "nothing here calls MCP servers", ([],)),
    # Anthropic's betas.
    "thread": Field("refused", "nothing is stored: send the whole conversation in 'messages'"),
    "compaction": Field("refused", "no conversation is summed up here: send it in 'messages'"),
    "fallbacks": Field("ignored", "which model steps in is the tiers' configuration", ([],)),
    "fallback_credit_token": Field("ignored", "a provider's accounts are not here"),
    "billing_policy": Field("ignored", "a provider's accounts are not here"),
    "betas": Field("ignored", "a header of Anthropic's"),
    # OpenAI's; a client that sends both means one of them, and we would have to guess which.
    "input": Field("refused", "it is /v1/responses'; send 'messages'"),
    # The other APIs' words: without them the answer would be another one, and nobody would know.
    "instructions": Field("refused", "it is /v1/responses'; send 'system'"),
    "stop": Field("refused", "send 'stop_sequences'", ([],)),
    "response_format": Field("refused", "send it as 'output_config.format'", ({"type": "text"},)),
    "reasoning_effort": Field("refused", "send it as 'output_config.effort'"),
    "n": Field("refused", "a message is one answer", (1,)),
    **dict.fromkeys(
        ("structured_outputs", *GUIDED), Field("refused", "send a schema as 'output_config.format'")
    ),
}

# A count's, where one differs.
COUNT_FIELDS = MESSAGES_FIELDS | {
    "compaction": Field("ignored", "a conversation is counted as it was sent"),
}

# Chat's fields in an error -> what the client wrote.
OWN_WORDS = {
    "messages": "messages",
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "add_generation_prompt": "messages",
    "continue_final_message": "messages",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice",
}
