"""What becomes of every field of a Responses request, held to OpenAI's and vLLM's own classes by
`tests/unit/deployments/test_responses_fields.py`.

A field of the same name and meaning as one of chat's is treated as that is.
"""

from deployments.protocol.request_fields import FIELDS, Field
from deployments.protocol.structured_outputs import GUIDED

STATELESS = "nothing is stored: send the whole conversation in 'input'"

_SAME_AS_CHAT = (
    *("model", "user", "stream", "temperature", "top_p", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
    *("service_tier", "moderation", "presence_penalty", "frequency_penalty", "logit_bias"),
    *("top_k", "min_p", "repetition_penalty", "seed", "stop", "stop_token_ids", "ignore_eos"),
    *("skip_special_tokens", "include_stop_str_in_output", "structured_outputs", "cache_salt"),
    *("watermarking", "vllm_xargs", "chat_template_kwargs", "include_reasoning", "priority"),
    *("request_id", "session_id", "mm_payload", "return_mm_kwargs", "media_io_kwargs"),
    *("mm_processor_kwargs", "kv_transfer_params", "ec_transfer_params"),
)

RESPONSES_FIELDS: dict[str, Field] = {
    **{name: FIELDS["chat"][name] for name in _SAME_AS_CHAT},
    "input": Field("translated", "messages"),
    "instructions": Field("translated", "the first of messages"),
    "max_output_tokens": Field("translated", "max_completion_tokens"),
    "reasoning": Field("translated", "reasoning_effort; what a model thinks comes in full"),
    "text": Field("translated", "response_format, verbosity"),
    "tools": Field("translated", "tools: functions, and custom tools as functions of one text"),
    "tool_choice": Field("translated", "tool_choice"),
    "top_logprobs": Field("translated", "logprobs, top_logprobs", (0,)),
    "include": Field("translated", "logprobs; what else it names is not there or comes anyway"),
    "metadata": Field("ignored", "labels of the client's own; the answer repeats them"),
    "store": Field("ignored", "taken as false, and the answer says so", (False,)),
    "truncation": Field(
        "ignored", "what does not fit is refused; nothing is cut out of it", ("disabled",)
    ),
    "max_tool_calls": Field("ignored", "it counts calls of a provider's own tools"),
    "context_management": Field("ignored", "nothing is cut out of a conversation", ([],)),
    "stream_options": Field("ignored", "events are not padded"),
    "access_programs": Field("ignored", "a provider's programs"),
    "enable_response_messages": Field("refused", "prompts are not repeated", (False,)),
    "previous_input_messages": Field("refused", "send them in 'input'", ([],)),
    "previous_response_id": Field("refused", STATELESS),
    "conversation": Field("refused", STATELESS),
    "background": Field("refused", "an answer is not kept for later", (False,)),
    "background_options": Field("refused", "an answer is not kept for later"),
    "prompt": Field("refused", "templates are not stored: send 'instructions' and 'input'"),
    "image": Field("refused", "no model here draws", ({},)),
    # Chat's; a client that sends both means one of them, and we would have to guess which.
    "messages": Field("refused", "it is /v1/chat/completions' and /v1/messages'; send 'input'"),
    # The other APIs' words: without them the answer would be another one, and nobody would know.
    "max_tokens": Field("refused", "send 'max_output_tokens'"),
    "max_completion_tokens": Field("refused", "send 'max_output_tokens'"),
    "response_format": Field("refused", "send it as 'text.format'", ({"type": "text"},)),
    "reasoning_effort": Field("refused", "send it as 'reasoning.effort'"),
    "system": Field("refused", "it is /v1/messages'; send 'instructions'", ("", [])),
    "stop_sequences": Field("refused", "it is /v1/messages'; send 'stop'", ([],)),
    "n": Field("refused", "a response is one answer", (1,)),
    **dict.fromkeys(GUIDED, Field("refused", "send 'structured_outputs'")),
}

# Chat's fields in an error -> what the client wrote.
OWN_WORDS = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
}
