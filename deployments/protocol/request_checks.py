"""What spans several fields of a request: which go together, and how much work one may ask for."""

from deployments.protocol.errors import InvalidRequest
from deployments.protocol.request_schema import (
    MAX_N,
    ChatRequest,
    CompletionRequest,
    NamedTool,
    Request,
)

# Sequences that one request may start: prompts times choices. A request is one to the queue that
# it waits in, however many it starts in the engine.
MAX_SEQUENCES = MAX_N
# Tokens that one request with several sequences may ask for; a single one is bounded by its window.
MAX_TOKENS = 2**20


def check_together(request: Request) -> None:
    """Raises: `InvalidRequest` naming the field that does not fit the others."""
    if request.stream_options is not None and not request.stream:
        raise _wrong("stream_options", "is only allowed when 'stream' is true")
    repetition = request.repetition_detection
    if repetition is not None and not repetition.consistent:
        raise _wrong("repetition_detection", "needs sizes in order and a 'min_count' of at least 2")
    _check_work(request)
    _check_format(request)
    _check_logprobs(request)
    if isinstance(request, ChatRequest):
        _check_tools(request)
        if request.continue_final_message and request.add_generation_prompt:
            raise _wrong("continue_final_message", "needs 'add_generation_prompt' to be false")


def sequences(request: Request) -> int:
    """How many sequences the request starts in an engine."""
    several = (
        isinstance(request, CompletionRequest)
        and isinstance(request.prompt, list)
        and not isinstance(request.prompt[0], int)
    )
    prompts = len(request.prompt) if several and isinstance(request, CompletionRequest) else 1
    return prompts * request.n


def limit_tokens(request: Request) -> int | None:
    """The fewest tokens that the request says an answer may have."""
    limits = [request.max_tokens, getattr(request, "max_completion_tokens", None)]
    return min((limit for limit in limits if limit is not None), default=None)


def _check_work(request: Request) -> None:
    count, limit = sequences(request), limit_tokens(request)
    if count > MAX_SEQUENCES:
        name = "prompt" if isinstance(request, CompletionRequest) else "n"
        raise _wrong(name, f"asks for more than {MAX_SEQUENCES} answers ('n' for each prompt)")
    if limit is None:
        return
    echoes = isinstance(request, CompletionRequest) and request.echo
    if limit == 0 and not echoes:
        raise InvalidRequest("Invalid 'max_tokens': it must be at least 1.", "max_tokens")
    if count > 1 and count * limit > MAX_TOKENS:
        raise _wrong("max_tokens", f"and 'n' ask for more than {MAX_TOKENS} tokens together")
    if request.min_tokens is not None and request.min_tokens > limit:
        raise _wrong("min_tokens", "is above the limit that 'max_tokens' sets")


def _check_logprobs(request: Request) -> None:
    wanted = request.logprobs is not None and request.logprobs is not False
    if request.stream and request.prompt_logprobs:
        raise _wrong("prompt_logprobs", "is not available when 'stream' is true")
    if request.use_beam_search and request.echo and wanted:
        raise _wrong("echo", "with 'logprobs' cannot be had from beam search")
    if request.logprob_token_ids and (not wanted or request.use_beam_search):
        raise _wrong("logprob_token_ids", "needs 'logprobs', and no beam search")
    if isinstance(request, ChatRequest) and request.top_logprobs and not wanted:
        raise _wrong("top_logprobs", "needs 'logprobs' to be true")


def _check_format(request: Request) -> None:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return
    schema = wanted.json_schema.schema_ if wanted.json_schema is not None else None
    if wanted.type == "json_schema" and schema is None:
        raise InvalidRequest("'response_format' lacks its 'json_schema.schema'.", "response_format")
    if wanted.type == "json_object" and schema is not None:
        raise _wrong("response_format", "has a schema, so its 'type' must be 'json_schema'")
    if wanted.type == "structural_tag" and not (wanted.format or wanted.structures):
        raise InvalidRequest("'response_format' lacks its 'format'.", "response_format")
    if request.structured_outputs is not None:
        raise _wrong("structured_outputs", "cannot be set beside 'response_format'")


def _check_tools(request: ChatRequest) -> None:
    choice = request.tool_choice
    if choice not in (None, "none") and not request.tools:
        raise InvalidRequest("'tool_choice' is set, but there are no 'tools'.", "tool_choice")
    if isinstance(choice, NamedTool):
        names = {tool.function.name for tool in request.tools or []}
        if choice.function.name not in names:
            raise _wrong("tool_choice", "names a tool that is not in 'tools'")
        if request.structured_outputs is not None:
            raise _wrong("structured_outputs", "cannot be set beside a named 'tool_choice'")


def _wrong(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' {what}.", param)
