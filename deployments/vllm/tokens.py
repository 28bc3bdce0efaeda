"""vLLM's own tokenisation: what a prompt is to the model, and back."""

from typing import Any

from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.tokenize.protocol import (
    DetokenizeRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)
from vllm.entrypoints.serve.tokenize.serving import ServingTokenization

from deployments.protocol.engine import EngineRequest

# vLLM names its log lines by a header of the request, and can do without one.
NO_REQUEST: Any = None


async def tokens(serving: ServingTokenization, request: EngineRequest) -> Any:
    """vLLM's response, or its `ErrorResponse`."""
    try:
        if request.purpose == "detokenize":
            ids = DetokenizeRequest.model_validate(request.body)
            return await serving.create_detokenize(ids, NO_REQUEST)
        kind = TokenizeChatRequest if request.endpoint == "chat" else TokenizeCompletionRequest
        return await serving.create_tokenize(kind.model_validate(request.body), NO_REQUEST)
    except Exception as error:
        return create_error_response(error)
