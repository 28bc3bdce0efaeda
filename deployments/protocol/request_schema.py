"""Types and ranges of every field that is passed on: OpenAI's where it documents them, else vLLM's.

Every array ends at its first mistake and has a limit, so that a hostile body costs milliseconds.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
)

from deployments.protocol.engine import Endpoint
from deployments.protocol.messages import Checked, Messages
from deployments.protocol.request_mistake import branch_by, text_or_list, text_or_object
from deployments.protocol.request_objects import biases, document, extension_args, labels
from deployments.protocol.structured_outputs import StructuredOutputs

# OpenAI's limits.
MAX_STOPS = 4
MAX_TOOLS = 128
MAX_N = 128
OPENAI_TOOL_NAME = 64
# vLLM's limits (envs.VLLM_MAX_COMPLETION_PROMPTS, VLLM_MAX_NUM_BAD_WORDS, MAX_LOGPROB_TOKEN_IDS).
MAX_PROMPTS = 1024
MAX_BAD_WORDS = 128
MAX_LOGPROB_TOKENS = 128
# The longest context window and the largest vocabulary that we know of, with room.
MAX_TOKEN_IDS = 2**20

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
TokenId = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(max_length=MAX_TOKEN_IDS, fail_fast=True)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
# OpenAI's chat and many providers end at `OPENAI_TOOL_NAME`, Anthropic's and vLLM's do not.
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
Text = Annotated[StrictStr, Field(min_length=1)]
Label = Annotated[StrictStr, Field(max_length=512)]


def _prompt_kind(value: Any) -> str | None:
    """The branch of a prompt, told by its first item."""
    if not isinstance(value, list) or not value:
        return text_or_list(value)
    if isinstance(value[0], str):
        return "<texts>"
    return "<lists of tokens>" if isinstance(value[0], list) else "<list>"


Document = Annotated[dict[str, Any], BeforeValidator(document)]
Stops = Annotated[list[Text], Field(max_length=MAX_STOPS, fail_fast=True)]
Prompts = Annotated[list[StrictStr], Field(max_length=MAX_PROMPTS, fail_fast=True)]
FirstTokens = Annotated[TokenIds, Field(min_length=1)]
ManyTokens = Annotated[list[FirstTokens], Field(max_length=MAX_PROMPTS, fail_fast=True)]


class StreamOptions(Checked):
    """OpenAI's, and vLLM's usage in every event."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class _Function(Checked):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(Checked):
    type: Literal["function"]
    function: _Function


class _FunctionName(Checked):
    name: ToolName


class NamedTool(Checked):
    """A `tool_choice` of one function."""

    type: Literal["function"]
    function: _FunctionName


class _JsonSchema(Checked):
    name: Name
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Checked):
    """OpenAI's three formats, and vLLM's structural tags."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: _JsonSchema | None = None
    format: dict[str, Any] | None = None
    structures: list[Any] | None = None


class _Repetition(Checked):
    max_pattern_size: Annotated[int, Field(ge=0, le=4096)] = 0
    min_pattern_size: Annotated[int, Field(ge=0, le=4096)] = 0
    min_count: Annotated[int, Field(ge=0, le=4096)] = 0

    @property
    def consistent(self) -> bool:
        """Whether vLLM can look for such a pattern."""
        ordered = self.min_pattern_size <= self.max_pattern_size
        return ordered and (self.max_pattern_size == 0 or self.min_count >= 2)


class Request(BaseModel):
    """What both endpoints share."""

    model_config = ConfigDict(extra="ignore")

    # Who names none leaves the choice to us; vLLM takes its only model then.
    model: Annotated[StrictStr, Field(min_length=1, max_length=256)] = "auto"
    stream: StrictBool = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    n: Annotated[StrictInt, Field(ge=1, le=MAX_N)] = 1
    stop: (
        Annotated[
            Annotated[Text, Tag("<text>")] | Annotated[Stops, Tag("<list>")],
            branch_by(text_or_list, f"it must be a string or up to {MAX_STOPS} strings"),
        ]
        | None
    ) = None
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=0)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, Any], BeforeValidator(biases)] | None = None
    logprobs: StrictBool | StrictInt | None = None
    user: Annotated[StrictStr, Field(max_length=1024)] | None = None
    top_k: Annotated[StrictInt, Field(ge=-1, lt=2**31)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[Number, Field(gt=0)] | None = None
    length_penalty: Number | None = None
    use_beam_search: StrictBool = False
    watermarking: StrictBool | None = None
    stop_token_ids: TokenIds | None = None
    include_stop_str_in_output: StrictBool = False
    ignore_eos: StrictBool = False
    min_tokens: Annotated[StrictInt, Field(ge=0)] | None = None
    skip_special_tokens: StrictBool = True
    spaces_between_special_tokens: StrictBool = True
    truncate_prompt_tokens: Annotated[StrictInt, Field(ge=-1, lt=2**31)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_logprobs: Annotated[StrictInt, Field(ge=-1, le=20)] | None = None
    logprob_token_ids: Annotated[TokenIds, Field(max_length=MAX_LOGPROB_TOKENS)] | None = None
    allowed_token_ids: Annotated[TokenIds, Field(min_length=1)] | None = None
    bad_words: Annotated[list[Text], Field(max_length=MAX_BAD_WORDS, fail_fast=True)] | None = None
    structured_outputs: StructuredOutputs | None = None
    response_format: ResponseFormat | None = None
    return_token_ids: StrictBool = False
    return_tokens_as_token_ids: StrictBool = False
    cache_salt: Annotated[StrictStr, Field(pattern=r"^[^@/\\\x00]{1,128}$")] | None = None
    vllm_xargs: Annotated[dict[str, Any], BeforeValidator(extension_args)] | None = None
    repetition_detection: _Repetition | None = None
    thinking_token_budget: Annotated[StrictInt, Field(ge=-1, lt=2**31)] | None = None
    echo: StrictBool = False
    add_special_tokens: StrictBool | None = None


class ChatRequest(Request):
    """`POST /v1/chat/completions`."""

    messages: Messages
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    logprobs: StrictBool = False
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] = 0
    tools: (
        Annotated[list[_Tool], Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)] | None
    ) = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag("<text>")]
            | Annotated[NamedTool, Tag("<object>")],
            branch_by(text_or_object, "it must be 'none', 'auto', 'required' or a function"),
        ]
        | None
    ) = None
    parallel_tool_calls: StrictBool = True
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    prediction: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    safety_identifier: Label | None = None
    metadata: Annotated[dict[str, Any], BeforeValidator(labels)] | None = None
    add_generation_prompt: StrictBool = True
    continue_final_message: StrictBool = False
    documents: Annotated[list[Document], Field(max_length=MAX_PROMPTS, fail_fast=True)] | None = (
        None
    )
    chat_template_kwargs: dict[str, Any] | None = None
    include_reasoning: StrictBool = True
    return_prompt_text: StrictBool = False


class CompletionRequest(Request):
    """`POST /v1/completions`."""

    prompt: Annotated[
        Annotated[Text, Tag("<text>")]
        | Annotated[Prompts, Tag("<texts>")]
        | Annotated[FirstTokens, Tag("<list>")]
        | Annotated[ManyTokens, Tag("<lists of tokens>")],
        branch_by(_prompt_kind, "it must be text, token ids, or an array of either"),
    ]
    logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None


SCHEMAS: dict[Endpoint, type[Request]] = {"chat": ChatRequest, "completions": CompletionRequest}


def names(model: type[BaseModel]) -> Iterator[str]:
    """Every field's name, at any depth: what may stand in an error's parameter."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        yield from _inside(field.annotation)


def _inside(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from names(annotation)
    for inner in get_args(annotation):
        yield from _inside(inner)


NAMES = frozenset(name for schema in SCHEMAS.values() for name in names(schema))
"""Every field's name, at any depth: what may stand in an error's parameter."""
