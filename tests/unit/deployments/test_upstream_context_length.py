# ruff: noqa: E501  # what providers say is quoted in one piece
"""Whichever provider says it, a prompt that does not fit is told from every other complaint."""

import json
from typing import Any

import pytest

from deployments.protocol.errors import ContextLengthExceeded, ServingError
from deployments.upstream.errors import refusal
from deployments.upstream.provider_error import MAX_TEXT_CHARS, read_error


def refused(body: Any, status: int = 400) -> type[ServingError]:
    return type(refusal(status, body if isinstance(body, bytes) else json.dumps(body).encode()))


# What providers and servers are known to answer to a prompt that is too long, in public reports.
TOO_LONG = {
    "openai": "This model's maximum context length is 4096 tokens. However, you requested 4200 "
    "tokens (4100 in the messages, 100 in the completion). Please reduce the length of either one.",
    "openai, later": "Your input exceeds the context window of this model. Please adjust your input.",
    "openai, configured": "Input tokens exceed the configured limit of 272000 tokens. Your messages "
    "resulted in 300000 tokens. Please reduce the length of the messages.",
    "anthropic": "prompt is too long: 215000 tokens > 200000 maximum",
    "anthropic, both": "input length and `max_tokens` exceed context limit: 184915 + 20000 > 204648, "
    "decrease input length or `max_tokens` and try again",
    "google": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "google, bytes": "Request payload size exceeds the limit: 20971520 bytes.",
    "mistral": "Prompt contains 40012 tokens and 0 draft tokens, too large for model with 32768 "
    "maximum context length",
    "cohere": "too many tokens: the total number of tokens in the prompt cannot exceed 4081 - "
    "received 5001. Try using a shorter prompt, or enabling prompt truncating.",
    "groq": "Please reduce the length of the messages or completion.",
    "cerebras": "Please reduce the length of the messages or completion. Current length is 9000 "
    "while limit is 8192",
    "together": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: "
    "9000 `inputs` tokens and 100 `max_new_tokens`",
    "tgi": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2048",
    "fireworks": "The prompt is too long: 9001, model maximum context length: 8191",
    "deepseek": "This model's maximum context length is 131072 tokens. However, you requested 133034 "
    "tokens (125034 in the messages, 8000 in the completion).",
    "xai": "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
    "bedrock": "Input is too long for requested model.",
    "vllm": "This model's maximum context length is 2048 tokens. However, your prompt contains 3000 "
    "input tokens, which exceeds this limit even without any output tokens.",
    "vllm, both": "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum "
    "context length is 4096 tokens and your request has 2104 input tokens (2000 > 4096 - 2104).",
    "vllm, answer alone": "max_tokens=5000 cannot be greater than max_model_len=4096. Please request "
    "fewer output tokens.",
    "vllm, older": "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "llama.cpp": "the request exceeds the available context size, try increasing it",
    "llama.cpp, counted": "request (9000 tokens) exceeds the available context size (4096 tokens)",
    "sglang": "Requested token count exceeds the model's maximum context length of 4096 tokens. You "
    "requested a total of 5000 tokens: 100 tokens from the input messages and 4900 tokens for the "
    "completion.",
    "sglang, input": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "ollama": "input length exceeds the context length",
    "lm studio": "tokens to keep from the initial prompt is greater than the context length",
    "lm studio, other": "Trying to keep the first 5000 tokens when context the overflows. However, "
    "the model is loaded with context length of only 4096 tokens, which is not enough.",
    "moonshot": "Invalid request: Your request exceeded model token limit: 8192",
    "zhipu": "Prompt exceeds max length",
    "dashscope": "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
    "minimax": "invalid params, context window exceeds limit (2013)",
    "copilot": "prompt token count of 100000 exceeds the limit of 64000",
    "databricks": "prompt token count (5033) cannot exceed 4096.",
    "nim": "Requested input length 5000 exceeds maximum input length 4096",
    "tensorrt-llm": "Prompt length (5000) exceeds maximum input length (4096). Set log level to info",
    "ai21": "The given prompt is too long (more than 2048 tokens)",
    "mlx": "Prompt exceeds maximum context length",
    "siliconflow": "length of prompt_tokens (57535) must be less than max_seq_len (32768).",
    "siliconflow, both": "max_total_tokens (40000) must be less than or equal to max_seq_len (32768)",
    "tensorrt-llm, both": "Deduced max_tokens -904 is less than 0, because prompt length 5000 plus "
    "query length 0 is larger than max_seq_len 4096",
    "llama.cpp, no room": "context shift is disabled",
    "mlc": "Request prompt has 5000 tokens in total, larger than the model input length limit 4096.",
    "qianfan": "Prompt tokens too long",
    "snowflake": "max tokens of 8192 exceeded",
    "bedrock, counted": "Malformed input request: expected maxLength: 200000, actual: 250000, please "
    "reformat your input and try again.",
    "lmdeploy": "The input is longer than session_len 4096",
    "perplexity": "This model's maximum context limit is 4096 tokens.",
    "sambanova": "Requested generation length 100 is not possible! The provided prompt is 5000 tokens "
    "long, so generating 100 tokens requires a sequence length of 5100, but the maximum supported "
    "sequence length is just 4096!",
    "volcengine": "Total tokens of image and text exceed max message tokens",
    "zhipu, chinese": "Prompt 超长",
    "dashscope, chinese": "输入长度超过模型最大上下文长度",
    "vllm, first": "Input prompt (5000 tokens) is too long and exceeds limit of 4096",
    "aside": "The input (5000 tokens) exceeds the maximum of 4096 tokens for this model",
    "sum": "The combined length of the prompt and completion exceeds the model's limit of 4096 tokens.",
    "sum, aside": "Invalid request: the total tokens (prompt 5000 + max_tokens 100) exceed the most that "
    "this model takes",
    "number": "Total number of tokens exceeds the maximum of 4096",
    "counts": "Your prompt has 5,000 tokens, but the model accepts at most 4,096 tokens.",
    "counts, exceeding": "Messages have 5000 tokens, which exceeds the max limit of 4096 tokens.",
    "counts, the other way": "This model supports a maximum of 4096 tokens, your request has 5000.",
    "larger": "The input length 5000 is larger than the model's limit 4096",
    "longer": "Input is longer than the maximum of 4096 tokens",
    "longer than a model can": "The prompt is longer than this model can process (5000 > 4096 tokens)",
    "full": "Context window is full",
    "litellm": "litellm.ContextWindowExceededError: the prompt does not fit",
}
OTHERWISE = {
    "output limit, position": "max_tokens must be less than 4096",
    "streams": "the number of parallel requests must be less than 8 for this context",
    "output limit, openai": "max_tokens is too large: 100000. This model supports at most 16384 "
    "completion tokens, whereas you provided 100000.",
    "output limit, anthropic": "max_tokens: 100000 > 64000, which is the maximum allowed number of "
    "output tokens for claude",
    "output limit, groq": "`max_tokens` must be less than or equal to `8192`, the maximum value for "
    "`max_tokens` is less than the `context_window` for this model",
    "output limit, google": "Unable to submit request because it has a maxOutputTokens value of "
    "100000 but the supported range is from 1 (inclusive) to 65537 (exclusive).",
    "output limit, dashscope": "Range of max_tokens should be [1, 8192]",
    "rate": "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 7000. "
    "Please reduce your message size and try again.",
    "rate, anthropic": "This request would exceed your organization's rate limit of 40,000 input "
    "tokens per minute.",
    "quota": "Too many tokens, your quota is used up.",
    "quota, monthly": "The total number of tokens used this month exceeds your plan.",
    "quota, chinese": "tokens 使用超出额度",
    "output limit, counted": "This model supports a maximum of 4096 output tokens, your request has 5000.",
    "tools, counted": "Your request has 200 tools, but at most 128 are allowed.",
    "number of messages": "The number of messages exceeds the maximum of 100",
    "name, chinese": "输入的角色不支持",
    "field": "Invalid 'messages[0].name': string too long. Expected a string with maximum length 64.",
    "user": "Invalid 'user': string too long. Expected a string with maximum length 64.",
    "list": "Invalid 'messages': array too long. Expected an array with maximum length 2048.",
    "stop": "Invalid 'stop': array too long. Expected an array with maximum length 4.",
    "temperature": "temperature must be at most 2; in this context it is larger than that",
    "context, another": "the 'context' field is not supported by this model",
    "images": "messages contain too many images: 60 exceeds the maximum of 50",
    "image size": "input image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
    "tools": "Invalid 'tools': array too long. Expected an array with maximum length 128, but got 200",
    "role": "messages[1].role must be one of system, user, assistant",
    "schema": "Invalid schema for response_format: context=(), 'additionalProperties' is required",
    "safety": "The response was filtered due to the prompt triggering the content policy.",
    "parse": "We could not parse the JSON body of your request.",
    "short": "prompt is too short: at least 1 token is needed",
    "empty": "messages must contain at least one message; got 0",
    "language": "Input contains the phrase context, which the length of a name may not exceed",
}  # fmt: skip


@pytest.mark.parametrize("message", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_prompt_that_does_not_fit_goes_elsewhere(message: str, status: int) -> None:
    assert refused({"error": {"message": message, "type": "x", "code": None}}, status) is (
        ContextLengthExceeded
    )


@pytest.mark.parametrize("message", OTHERWISE.values(), ids=OTHERWISE)
def test_other_complaint_is_no_long_prompt(message: str) -> None:
    assert refused({"error": {"message": message}}) is not ContextLengthExceeded


LONG = TOO_LONG["openai"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"message": LONG, "code": 400}, id="top level"),
        pytest.param({"object": "error", "message": LONG, "type": "BadRequestError"}, id="vllm"),
        pytest.param({"error": LONG}, id="text"),
        pytest.param({"error": LONG, "error_type": "validation"}, id="tgi"),
        pytest.param({"detail": LONG}, id="fastapi"),
        pytest.param({"detail": [{"loc": ["body"], "msg": LONG, "type": "x"}]}, id="pydantic"),
        pytest.param({"detail": {"error": {"message": LONG}}}, id="nested detail"),
        pytest.param({"object": "error", "message": {"detail": [{"msg": LONG}]}}, id="mistral"),
        pytest.param(
            {"type": "error", "error": {"type": "invalid_request_error", "message": LONG}},
            id="anthropic",
        ),
        pytest.param([{"error": {"code": 400, "message": LONG, "status": "X"}}], id="google"),
        pytest.param({"errors": [{"message": LONG}], "success": False}, id="cloudflare"),
        pytest.param(
            {
                "error": {
                    "message": "Provider returned error",
                    "code": 400,
                    "metadata": {"raw": json.dumps({"error": {"message": LONG}})},
                }
            },
            id="openrouter",
        ),
        pytest.param({"error": {"message": json.dumps({"message": LONG})}}, id="JSON in a text"),
        pytest.param(LONG.encode(), id="plain text"),
        pytest.param({"error": {"code": "context_length_exceeded"}}, id="code alone"),
        pytest.param(
            {"error": {"code": 400, "type": "exceed_context_size_error"}}, id="type alone"
        ),
        pytest.param(
            {
                "error": {
                    "message": "Invalid 'messages[0].content': string too long.",
                    "param": "messages[0].content",
                    "code": "string_above_max_length",
                }
            },
            id="one long text",
        ),
    ],
)
def test_complaint_is_found_wherever_it_stands(body: Any) -> None:
    assert refused(body) is ContextLengthExceeded


def test_the_requests_own_text_is_no_complaint() -> None:
    echoed = {"detail": [{"loc": ["body", "n"], "msg": "Input should be 1", "input": LONG}]}
    assert refused(echoed) is not ContextLengthExceeded
    error = refusal(422, json.dumps(echoed).encode())
    assert "context" not in error.message
    assert error.param == "n"


def test_depth_and_width_of_a_body_are_bounded() -> None:
    deep: Any = LONG
    for _ in range(400):
        deep = {"error": deep}
    assert refused(deep) is not ContextLengthExceeded
    assert refused({"errors": [{"message": "no"}] * 20_000 + [{"message": LONG}]}) is not (
        ContextLengthExceeded
    )
    assert refused(b"[" * 60_000) is not ContextLengthExceeded
    assert len(read_error(json.dumps({"error": "x" * 60_000}).encode()).text) <= 2 * MAX_TEXT_CHARS
