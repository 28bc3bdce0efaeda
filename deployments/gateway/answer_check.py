"""Is an answer one that the large tier should give instead? Judged before its first byte goes out.

The degenerate cases need no training: what says nothing, runs in circles, refuses where nobody
asked for that, breaks the form that was asked for, or ran out of window. Bytes in, a claim out.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from answer_check.question import asked_times
from answer_check.refusal import is_about_refusing, may_refuse, refuses, spoken
from answer_check.repetition import REPEATS_OF_LABEL, loop_of, may_loop
from answer_check.structure import begins_json, is_json
from deployments.gateway.answer_text import Choice, Said
from deployments.protocol.chunk import Chunk
from deployments.protocol.openai_request import ParsedRequest

# The claim of an answer that is none.
SURELY = 1.0
# What OpenAI's completions take where a client names no limit.
COMPLETION_TOKENS = 16
# Begins a tool call in most models' own words: what a parser found none in.
UNPARSED_CALL = ("<tool_call", "<|tool_call", "[TOOL_CALLS]", "<function=", "<|python_tag|>")


class Fault(StrEnum):
    """What is wrong with an answer, whoever reads it."""

    EMPTY = "empty"
    REPETITION = "repetition"
    REFUSAL = "refusal"
    BROKEN_JSON = "broken_json"
    BROKEN_TOOL_CALL = "broken_tool_call"
    CUT_BY_WINDOW = "cut_by_window"


class Judged(NamedTuple):
    """How much an answer asks for the large tier, in [0, 1], and why where that is plain."""

    claim: float
    fault: Fault | None = None


def says_nothing(held: Sequence[Chunk]) -> bool:
    """Whether a whole answer has no text, no tool call, and no reason for having none."""
    return not any(chunk.content or chunk.finish_reason for chunk in held)


def gave_up(held: Sequence[Chunk], request: ParsedRequest) -> bool:
    """Whether a whole answer has no text and no tool call, and ended so by itself.

    A stop sequence or a token limit that ends an answer at once is the client's own doing.
    """
    if any(chunk.content for chunk in held):
        return False
    reasons = {chunk.finish_reason for chunk in held} - {None}
    return not reasons or (reasons == {"stop"} and not request.body.get("stop"))


def fault_of(said: Said, held: Sequence[Chunk], request: ParsedRequest) -> Fault | None:
    """What is wrong with an answer, or with as much of it as is held; None: nothing that shows.

    Of several choices all must be at fault: the client takes the best.
    """
    whole = bool(held) and held[-1].done
    if whole and gave_up(held, request):
        return Fault.EMPTY
    faults = [_choice_fault(choice, whole, request) for choice in said.choices.values()]
    if faults and all(faults):
        return faults[0]
    return Fault.CUT_BY_WINDOW if whole and is_cut_by_window(said, held, request) else None


def is_plain(said: Said, held: Sequence[Chunk], request: ParsedRequest) -> bool:
    """Whether a beginning can no longer turn into a refusal, broken form, or one thing said from
    its first word on: two words tell that of most answers."""
    if asked_json(request)[0] or request.body.get("tools"):
        return False
    choices, asked = said.choices.values(), choices_of(request)
    begun = bool(held) and held[-1].usage.completion_tokens >= 2 * asked
    return begun and len(choices) >= asked and all(map(_is_plain, choices))


def _is_plain(choice: Choice) -> bool:
    if not choice.text or choice.refusal or choice.calls:
        return False
    return not may_refuse(choice.text) and not may_loop(choice.text)


def is_cut_by_window(said: Said, held: Sequence[Chunk], request: ParsedRequest) -> bool:
    """Whether a whole answer, each choice of it, was cut before the client's own limit: there was
    no more room."""
    reasons = {choice.finish_reason for choice in said.choices.values()}
    if reasons != {"length"} or len(said.choices) < choices_of(request):
        return False
    limit, last = limit_tokens(request), held[-1]
    if limit is None:
        return True
    counted = choices_of(request) == 1 and not last.estimated
    return counted and last.usage.completion_tokens < limit


def limit_tokens(request: ParsedRequest) -> int | None:
    """The client's own limit on one choice of an answer."""
    named = [request.body.get(name) for name in ("max_tokens", "max_completion_tokens")]
    limits = [limit for limit in named if type(limit) is int]
    if not limits and request.endpoint == "completions":
        return COMPLETION_TOKENS
    return min(limits, default=None)


def choices_of(request: ParsedRequest) -> int:
    """How many choices the answer has: `n` for each prompt."""
    prompt, n = request.body.get("prompt"), request.body.get("n")
    several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return (n if type(n) is int else 1) * (len(prompt) if several and prompt else 1)


def _choice_fault(choice: Choice, whole: bool, request: ParsedRequest) -> Fault | None:
    if choice.is_blank:
        return Fault.EMPTY
    if whole and not choice.says_something:
        gave_up = choice.finish_reason == "stop" and not request.body.get("stop")
        return Fault.EMPTY if gave_up else None
    if choice.refusal or refuses(choice.text):
        return None if is_about_refusing(question_of(request)) else Fault.REFUSAL
    if _runs_in_circles(choice, whole, request):
        return Fault.REPETITION
    if _breaks_call(choice, whole, request):
        return Fault.BROKEN_TOOL_CALL
    return Fault.BROKEN_JSON if _breaks_json(choice, whole, request) else None


def _runs_in_circles(choice: Choice, whole: bool, request: ParsedRequest) -> bool:
    """Whether it ends in a loop: what ended by itself may have rightly said one thing often."""
    loop = loop_of(choice.text)
    if loop is None or choice.finish_reason == "length":
        return loop is not None
    if not loop.unit.strip():
        return False  # white space after an answer, or a deep indent
    if not whole and not (loop.in_lines and loop.is_label):
        return True
    right = 2 * asked_times(question_of(request))
    return loop.repeats > (max(right, REPEATS_OF_LABEL) if loop.is_label else right)


def _breaks_json(choice: Choice, whole: bool, request: ParsedRequest) -> bool:
    asked, schema = asked_json(request)
    if not asked or choice.calls or not choice.text.strip():
        return False
    if not whole:
        return asked == "object" and not begins_json(choice.text)
    # What the client's own limit, or its stop, has cut need not be whole.
    if choice.finish_reason == "length" or request.body.get("stop"):
        return False
    return not is_json(choice.text, schema)


def _breaks_call(choice: Choice, whole: bool, request: ParsedRequest) -> bool:
    tools = request.body.get("tools")
    if not tools or not whole or choice.finish_reason == "length":
        return False
    chosen = request.body.get("tool_choice")
    if not choice.calls:
        forced = chosen == "required" or isinstance(chosen, dict)
        # Words before a call may hold the client's stop.
        return (forced and not request.body.get("stop")) or spoken(choice.text).lstrip().startswith(
            UNPARSED_CALL
        )
    known = {_tool_name(chosen)} if isinstance(chosen, dict) else set(map(_tool_name, tools))
    return any(
        call.name not in known or not is_json(call.arguments or "{}", {"type": "object"})
        for call in choice.calls.values()
    )


def _tool_name(tool: Any) -> str | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def asked_json(request: ParsedRequest) -> tuple[str | None, Any]:
    """`object` or `any` where the answer must be JSON, and the schema that it must have."""
    given = request.body.get("response_format")
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "json_object":
        return "object", {"type": "object"}
    if kind == "json_schema" and isinstance(given, dict):
        wrapped = given.get("json_schema")
        schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
        return "any", schema
    structured = request.body.get("structured_outputs")
    if isinstance(structured, dict):
        if structured.get("json_object"):
            return "object", {"type": "object"}
        if structured.get("json") is not None:
            return "any", structured["json"]
    return None, None


def question_of(request: ParsedRequest) -> str:
    """The text of the last message of the user's, or of the prompt."""
    conversation = request.conversation
    if isinstance(conversation, str):
        return conversation
    for message in reversed(conversation):
        if message.get("role") == "user":
            content = message.get("content")
            parts = content if isinstance(content, list) else [content]
            texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
            return "\n".join(text for text in texts if isinstance(text, str))
    return ""
