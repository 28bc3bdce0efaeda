"""What becomes of every field of a request: one table, held to OpenAI's and vLLM's own classes by
`tests/unit/deployments/test_request_fields.py`.

Written out here, because a gateway may run where vLLM is not installed. A field in neither table is
nobody's: it is dropped and named in the debug header.
"""

from typing import Any, Literal, NamedTuple

from deployments.protocol.engine import Endpoint

# passed: OpenAI's and vLLM's alike. vllm: vLLM's own, so that only an engine that knows it may
# answer. openai: OpenAI's own, passed on; an engine that does not know it answers as well without.
# translated: of another API, said to engines in chat's words; the reason names them. ours: the
# gateway acts on it. refused: it changes the answer's meaning and cannot be done.
# ignored: it changes nothing that a client could see.
Treatment = Literal["passed", "vllm", "openai", "translated", "ours", "refused", "ignored"]


class Field(NamedTuple):
    """How a field is treated."""

    treatment: Treatment
    # Why; for a refused field the end of the sentence that the client reads.
    why: str = ""
    # Values that ask for nothing: as good as absent. Null always is.
    neutral: tuple[Any, ...] = ()

    def asks_nothing(self, value: Any) -> bool:
        """Whether a request with this value is the same without it."""
        return value is None or any(
            value == nothing and isinstance(value, bool) == isinstance(nothing, bool)
            for nothing in self.neutral
        )


PASSED = Field("passed")
VLLM = Field("vllm")
OFF = Field("vllm", neutral=(False,))
ON = Field("vllm", neutral=(True,))
EMPTY = Field("vllm", neutral=([],))
GUIDED = Field("ours", "the older name of a constraint in structured_outputs")
RENDERED = Field("ignored", "only vLLM's render endpoints look at it")
DISAGGREGATED = Field("refused", "prefill and decoding are not apart here")
UNTRUSTED_MEDIA = Field("refused", "it would change how media are read for everyone", ({},))
PREFIX_CACHE = Field("openai", "a hint for a cache; vLLM keeps prefixes without one")

_BOTH: dict[str, Field] = {
    "model": Field("ours", "chooses the tier; the tier's replica says what it is served as"),
    "stream": PASSED,
    "stream_options": Field("passed", neutral=({},)),
    "temperature": PASSED,
    "top_p": PASSED,
    "n": PASSED,
    "stop": PASSED,
    "seed": PASSED,
    "max_tokens": PASSED,
    "presence_penalty": PASSED,
    "frequency_penalty": PASSED,
    "logit_bias": PASSED,
    "logprobs": PASSED,
    "user": PASSED,
    "top_k": Field("vllm", neutral=(0, -1)),
    "min_p": Field("vllm", neutral=(0,)),
    "repetition_penalty": Field("vllm", neutral=(1,)),
    "length_penalty": Field("vllm", "only beam search reads it", (1,)),
    "use_beam_search": OFF,
    "watermarking": VLLM,
    "stop_token_ids": EMPTY,
    "include_stop_str_in_output": OFF,
    "ignore_eos": OFF,
    "min_tokens": Field("vllm", neutral=(0,)),
    "skip_special_tokens": ON,
    "spaces_between_special_tokens": ON,
    "truncate_prompt_tokens": VLLM,
    "truncation_side": VLLM,
    "prompt_logprobs": VLLM,
    "logprob_token_ids": EMPTY,
    "allowed_token_ids": VLLM,
    "bad_words": EMPTY,
    "structured_outputs": VLLM,
    "guided_json": GUIDED,
    "guided_regex": GUIDED,
    "guided_choice": GUIDED,
    "guided_grammar": GUIDED,
    "guided_whitespace_pattern": GUIDED,
    "guided_decoding_backend": Field("ignored", "which library constrains changes no constraint"),
    "return_token_ids": OFF,
    "return_tokens_as_token_ids": OFF,
    "cache_salt": VLLM,
    "vllm_xargs": Field("vllm", neutral=({},)),
    "repetition_detection": VLLM,
    "thinking_token_budget": Field("vllm", neutral=(-1,)),
    "stream_interval": Field("ignored", "a tier merges tokens by its load"),
    "priority": Field("refused", "requests are answered in the order they came", (0,)),
    "request_id": Field("ignored", "the request's id is its x-request-id header"),
    "session_id": Field("ignored", "a session is named by the x-smallfirst-session header"),
    "routed_experts_prompt_start": Field("refused", "routed experts are not returned", (0,)),
    "return_token_offsets": RENDERED,
    "mm_payload": RENDERED,
    "return_mm_kwargs": RENDERED,
    "kv_transfer_params": DISAGGREGATED,
    "ec_transfer_params": DISAGGREGATED,
}

_CHAT: dict[str, Field] = {
    "messages": PASSED,
    "max_completion_tokens": PASSED,
    "top_logprobs": PASSED,
    "tools": PASSED,
    "tool_choice": PASSED,
    "parallel_tool_calls": PASSED,
    "response_format": PASSED,
    "reasoning_effort": PASSED,
    "functions": Field("refused", "send 'tools' instead", ([],)),
    "function_call": Field("refused", "send 'tool_choice' instead", ("none",)),
    "audio": Field("refused", "no model here speaks"),
    "modalities": Field("refused", "answers are text", (["text"], [])),
    "web_search_options": Field("refused", "no model here searches the web"),
    "moderation": Field("refused", "no model here moderates"),
    "prediction": Field("openai", "a prediction saves time and changes no answer"),
    "verbosity": Field("openai", "a wish that only models trained for it can heed", ("medium",)),
    "prompt_cache_key": PREFIX_CACHE,
    "prompt_cache_options": PREFIX_CACHE,
    "prompt_cache_retention": PREFIX_CACHE,
    "safety_identifier": Field("openai", "names the end user to a provider, as 'user' does"),
    "metadata": Field("ignored", "labels for answers that a provider stores"),
    "store": Field("ignored", "answers are not stored"),
    "service_tier": Field("ignored", "there is one class of service"),
    "echo": OFF,
    "add_generation_prompt": ON,
    "continue_final_message": OFF,
    "add_special_tokens": OFF,
    "documents": EMPTY,
    # Responses'; a client that sends both means one of them, and we would have to guess which.
    "input": Field("refused", "it is /v1/responses'; send 'messages'"),
    # The other APIs' words: without them the answer would be another one, and nobody would know.
    "instructions": Field("refused", "it is /v1/responses'; send it in 'messages'"),
    "max_output_tokens": Field("refused", "it is /v1/responses'; send 'max_completion_tokens'"),
    "system": Field("refused", "it is /v1/messages'; send it in 'messages'", ("", [])),
    "stop_sequences": Field("refused", "it is /v1/messages'; send 'stop'", ([],)),
    "chat_template": Field("refused", "templates are the server's"),
    "chat_template_kwargs": Field("vllm", neutral=({},)),
    "include_reasoning": ON,
    "return_prompt_text": OFF,
    "media_io_kwargs": UNTRUSTED_MEDIA,
    "mm_processor_kwargs": UNTRUSTED_MEDIA,
}

_COMPLETIONS: dict[str, Field] = {
    "prompt": PASSED,
    "echo": PASSED,
    "best_of": Field("refused", "ask for 'n' choices instead", (1,)),
    "suffix": Field("refused", "no model here fills a gap", ("",)),
    "prompt_embeds": Field("refused", "prompts are text or token ids"),
    "add_special_tokens": ON,
    "response_format": Field("vllm", neutral=({"type": "text"},)),
}

FIELDS: dict[Endpoint, dict[str, Field]] = {
    "chat": _BOTH | _CHAT,
    "completions": _BOTH | _COMPLETIONS,
}
"""Every field that OpenAI or vLLM 0.32 documents for an endpoint."""


def _own(treatment: Treatment) -> dict[Endpoint, frozenset[str]]:
    return {
        endpoint: frozenset(name for name, field in table.items() if field.treatment == treatment)
        for endpoint, table in FIELDS.items()
    }


VLLM_ONLY = _own("vllm")
"""Fields that mean something to vLLM only: what an upstream that does not speak vLLM never gets."""
