"""What reaches vLLM, and what of its refusals reaches the client; without vLLM itself."""

from typing import Any

import pytest

from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    InvalidRequest,
    ServingError,
    TierUnavailable,
    UnknownModel,
)
from deployments.protocol.vllm_body import for_vllm
from deployments.vllm.refusal import refusal

ONE_CANDIDATE = {"temperature": 1.0, "top_p": 1.0, "top_k": 1, "min_p": 0.0}


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({}, {}),
        ({"temperature": 0}, {}),
        ({"temperature": 0, "n": 1}, {}),
        ({"temperature": 0, "n": 2}, ONE_CANDIDATE),
        ({"temperature": 1e-6, "n": 2, "top_p": 0.5}, ONE_CANDIDATE),
        ({"temperature": 0, "n": 2, "use_beam_search": True}, {}),
        ({"temperature": 0.01, "n": 2}, {}),
        ({"n": 2}, {}),
        ({"top_p": 0}, ONE_CANDIDATE),
        ({"top_p": 0.0, "temperature": 0}, ONE_CANDIDATE),
        ({"top_p": 1e-3}, {}),
    ],
)
def test_what_openai_allows_reaches_vllm_in_values_it_takes(
    fields: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert for_vllm(fields) == fields | changed


SECRET = "ACME-4711"
REPORT = f"""5 validation errors for ChatCompletionRequest
messages.1.ChatCompletionAssistantMessageParam.tool_calls
  Input should be iterable [type=iterable_type, input_value={SECRET}, input_type=NoneType]
    For further information visit https://errors.pydantic.dev/2.13/v/iterable_type
messages.1.content.`maximum context length is 5`"""
# status, message, param -> class, our param
REFUSALS: dict[str, tuple[int, str, str | None, type[ServingError], str | None]] = {
    "a report": (400, REPORT, None, InvalidRequest, "messages"),
    "a value": (
        400,
        f"bad_words (parameter=bad_words, value={SECRET})",
        "bad_words",
        InvalidRequest,
        "bad_words",
    ),
    "an inner parameter": (
        400,
        SECRET,
        "tool_choice.function.name",
        InvalidRequest,
        "tool_choice.function.name",
    ),
    "a parameter that is none": (400, SECRET, SECRET, InvalidRequest, None),
    "a parameter of vLLM's own": (400, "too long", "input_text", InvalidRequest, None),
    "a sentence": (400, f"min_p must be in [0, 1], got {SECRET}.", None, InvalidRequest, "min_p"),
    "a short name first": (400, "n must be at least 1", None, InvalidRequest, "n"),
    "a short name later": (400, f"{SECRET} model n user stop", None, InvalidRequest, None),
    "a template": (400, f"Conversation roles must alternate {SECRET}", None, InvalidRequest, None),
    "no such model": (404, f"The model `{SECRET}` does not exist.", None, UnknownModel, None),
    "the window": (
        400,
        "This model's maximum context length is 2048 tokens. However, your prompt "
        f"contains 3000 {SECRET}",
        None,
        ContextLengthExceeded,
        "messages",
    ),
    "the window, later": (
        400,
        "Input length (3000) exceeds model's maximum context length (2048).",
        None,
        ContextLengthExceeded,
        "messages",
    ),
    "a prompt that leaves nothing": (
        400,
        "max_tokens must be at least 1, got 0.",
        "max_tokens",
        ContextLengthExceeded,
        "messages",
    ),
    "words of the client": (
        400,
        "stop: 'This model's maximum context length is 1'",
        None,
        InvalidRequest,
        "stop",
    ),
    "a failure": (500, f"CUDA {SECRET}", None, EngineFailure, None),
    "not built": (501, f"Not {SECRET}", None, EngineFailure, None),
    "away": (503, SECRET, None, TierUnavailable, None),
}


@pytest.mark.parametrize(
    ("status", "message", "param", "kind", "ours"), REFUSALS.values(), ids=REFUSALS
)
def test_a_refusal_of_vllm_names_the_parameter_and_repeats_nothing(
    status: int, message: str, param: str | None, kind: type[ServingError], ours: str | None
) -> None:
    error = refusal(status, message, param)
    assert (type(error), error.param) == (kind, ours)
    assert SECRET not in error.message
    assert "\n" not in error.message and len(error.message) < 150


def test_a_full_window_is_told_in_numbers() -> None:
    message = "This model's maximum context length is 2048 tokens. However, your prompt has 3000"
    assert "2048 and 3000" in refusal(400, message, None).message
