"""Does a provider complain that the prompt does not fit the model? Each words it in its own way.

A request that is too long for one model may fit another, so this decides whether the next tier is
asked. A limit of something else (output tokens, images, tools, a rate) is no reason to.
"""

import re

from deployments.upstream.provider_error import ProviderError

CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "model_context_window_exceeded",
        "exceed_context_size_error",
        "max_context_length_exceeded",
        "prompt_too_long",
        "input_too_long",
        "request_too_large",
        "model_max_prompt_tokens_exceeded",
        "tokens_limit_reached",
    }
)
# The model's window by its names …
WINDOW = (
    r"(?:context[ _](?:length|window|size|limit)|contextwindow|n_ctx\b"
    r"|max_(?:model|seq|input|prompt|position)_len(?:gth)?\b|session_len\b"
    r"|model (?:input|sequence|prompt) length limit"
    r"|(?:maximum|max\.?) (?:allowed |supported )?(?:model|context|prompt|input|sequence|message)"
    r"(?: token)? (?:length|size|limit|tokens)|(?:model|maximum|max) token limit|maximum context\b)"
)
# … and what is said of a thing that has no room in it.
NO_ROOM = (
    r"(?:exceed\w*|overflow\w*|too (?:long|large|big|many)"
    r"|(?:longer|greater|larger|more|higher) than|reduce|shorten|not fit|not enough"
    r"|insufficient|beyond|however|but the request|>)"
)
PROMPT = r"(?:prompts?|inputs?|messages?|conversations?|request(?:ed)?)"
SENTENCES = (
    # The window and the lack of room, near each other: OpenAI, vLLM, Mistral, llama.cpp, xAI, …
    rf"{WINDOW}.{{0,160}}{NO_ROOM}",
    rf"{NO_ROOM}.{{0,120}}{WINDOW}",
    # Perplexity, and others who name the window and leave it to the reader what that means.
    r"\bmodels? maximum context (?:length|window|size|limit) is\b",
    r"\bcontext(?: window)? (?:is )?(?:too (?:long|large)|full|overflow\w*)\b",
    # Anthropic, Bedrock, Cohere: the prompt is too long, too many tokens.
    rf"\b{PROMPT}(?:[ _](?:text|length|size|tokens?))?(?: (?:is|are|was|were))?"
    r" too (?:long|large)\b(?! for)",
    rf"\b{PROMPT}(?: (?:is|are))? too (?:long|large) for (?:the |this )?(?:requested )?model",
    r"\btoo many (?:(?:input|prompt|total) )?tokens\b",
    # Google, OpenAI's later models, Copilot, Databricks: a count of tokens over a limit.
    rf"\b{PROMPT} (?:token count|tokens?|length|size)\b.{{0,60}}"
    r"\b(?:exceeds?|exceeded|cannot exceed|not exceed|(?:greater|longer|larger|more) than)\b",
    rf"\b{PROMPT} (?:exceeds?|exceeded)\b.{{0,30}}\b(?:token|length|tokens)\b",
    r"\bnumber of (?:input |prompt )?tokens in (?:the |your )?(?:prompt|input|request|messages)\b"
    r".{0,40}exceed",
    # SambaNova, and proxies that count for themselves: so many tokens, and the most there may be.
    rf"\b{PROMPT} (?:has|have|had|contains?|is|are|of) \d[\d,]* (?:input |prompt )?tokens\b"
    r".{0,120}(?:exceed|at most|maximum|only)",
    rf"\bmaximum of \d[\d,]* tokens\b.{{0,40}}\b{PROMPT}\b",
    rf"\b{PROMPT} (?:is|are|was) longer than (?:the |this )?(?:models?|maximum|limit)\b",
    r"\b(?:total|combined|number of)\b.{0,20}\b(?:tokens?|length)\b.{0,60}\bexceeds?\b",
    # Zhipu, Hunyuan and other providers that say it in Chinese.
    r"(?:上下文|输入|提示词|prompt|tokens?).{0,30}(?:超(?:长|出|过)|过长)",
    # Groq, Cerebras; Hugging Face's TGI; DashScope; Google's bodies of many bytes.
    rf"\b(?:reduce|shorten)\b.{{0,12}}(?: length| size| number)?(?: of)? (?:the |your )?{PROMPT}\b",
    r"\binputs? tokens \+ max_new_tokens must be\b",
    r"\binputs? must have (?:less|fewer) than \d+ tokens\b",
    r"\brange of input length should be\b",
    r"\brequest payload size exceeds\b",
    # SiliconFlow.
    rf"(?:prompt|input|total)\w*.{{0,20}}must be (?:less|smaller|shorter) than.{{0,20}}{WINDOW}",
    # llama.cpp without room to slide; Snowflake; Bedrock's count of characters of a prompt.
    r"\bcontext shift is disabled\b",
    r"\bmax tokens of \d+ exceeded\b",
    r"\bexpected maxlength: \d+, actual: \d+",
)
TOO_LONG = re.compile("|".join(SENTENCES), re.IGNORECASE | re.DOTALL)
# A limit that is not the model's window, unless the window is named as well.
OTHER_LIMIT = re.compile(
    r"rate.?limit|per (?:minute|day|hour|second|month)|\b[tr]p[md]\b|quota"
    r"|\b(?:daily|weekly|monthly)\b|this (?:day|week|month)|频率|额度"
    r"|(?:completion|output|generated|new) tokens|max_tokens is too large"
    r"|\bimages?\b|\btools?\b|\bfiles?\b|\baudio\b",
    re.IGNORECASE,
)
NAMES_WINDOW = re.compile(WINDOW + r"|max_new_tokens", re.IGNORECASE)
# Counts stand in the middle of a sentence: "the prompt (5000 tokens) is too long".
ASIDE = re.compile(r" ?\([^()]*\)")
# OpenAI's code for one string over its limit: of the prompt, not of a name or an id.
LONG_STRING = "string_above_max_length"
PROMPT_FIELD = re.compile(r"(?:prompt|input|messages)(?:\[\d+\])*(?:\.content.*)?")


def is_context_overflow(error: ProviderError) -> bool:
    """Whether the provider says that prompt, or prompt and answer, exceed the model's window."""
    if CODES & set(error.code.split()):
        return True
    if LONG_STRING in error.code:
        return error.param is not None and PROMPT_FIELD.fullmatch(error.param) is not None
    text = " ".join(re.sub(r"[`'\"]", "", error.text).split())
    if OTHER_LIMIT.search(text) and not NAMES_WINDOW.search(text):
        return False
    return any(map(TOO_LONG.search, {text, ASIDE.sub("", text)}))
