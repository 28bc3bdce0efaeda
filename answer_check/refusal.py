"""Answers that decline to answer, told by how they begin."""

import re

_APOLOGY = (
    r"(?:(?:i'?m|i am|we'?re|we are) (?:very |really |truly |so )?sorry|sorry|(?:i|we) apologi[sz]e"
    r"|my apologies|apologies|unfortunately|regrettably)"
)
_UNABLE = (
    r"(?:can(?:no|')?t|can not|could not|couldn't|won't|will not|must (?:decline|refuse)"
    r"|have to decline|(?:am|'m|are|'re) (?:not able|unable|not allowed|not permitted)"
    r"|(?:do not|don't) have (?:the ability|the capability|access|enough|real-time|personal)"
    r"|(?:do not|don't) feel comfortable)"
)
_WHAT = (
    r"(?:assist|help|answer|provide|fulfil|comply|do (?:that|this)|discuss|generate|create|respond"
    r"|engage|complete|process|offer|support|share|access|give|write|browse|continue)"
)
# A beginning that apologises and says that it cannot, or says so of the model itself.
_BEGINS = re.compile(
    rf"(?:{_APOLOGY}[,.;:!]?\s+(?:but\s+|that\s+)?(?:as an? [^,.]{{0,60}},\s*)?(?:i|we)\s*{_UNABLE}"
    rf"|as an? (?:\w+ )?(?:ai|language model|assistant)[^.]{{0,60}}?,?\s*i\s*{_UNABLE}"
    rf"|(?:i|we)\s*{_UNABLE}\s+(?:to\s+)?(?:be able to\s+)?{_WHAT}"
    r"|es tut mir (?:sehr )?leid,? (?:aber )?(?:ich kann|das kann ich)"
    r"|(?:je suis désolée?|désolée?),? (?:mais )?je ne (?:peux|suis)"
    r"|lo siento,? (?:pero )?no puedo"
    r"|(?:desculpe|sinto muito),? (?:mas )?(?:não|nao) posso"
    r"|(?:很抱歉|对不起|抱歉).{0,12}(?:无法|不能)"
    r"|(?:申し訳|すみません).{0,16}(?:できません|いたしかねます))",
    re.IGNORECASE,
)
# What `_BEGINS` can begin with.
_OPENINGS = (
    *("i ", "i'", "we ", "we'", "sorry", "apologi", "my apologies", "unfortunately", "regrettably"),
    *("as a ", "as an ", "es tut mir", "je ", "désolé", "lo siento", "desculpe", "sinto muito"),
    *("很抱歉", "对不起", "抱歉", "申し訳", "すみません"),
)
# Longer beginnings are answers.
SEEN_CHARS = 400
# Words by which a question is about refusals itself: to write, translate or judge one.
_ABOUT = re.compile(
    r"\b(?:refus|declin|apolog|reject|turn(?:ing)? down|say(?:ing)? no\b|i'm sorry|cannot help"
    r"|can't help|sorry, but)",
    re.IGNORECASE,
)
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})


def refuses(answer: str) -> bool:
    """Whether an answer, or its beginning, declines.

    >>> refuses("**I'm sorry, but I can't help with that."), refuses("Sorry to hear that.")
    (True, False)
    """
    return _BEGINS.match(_bare(answer)) is not None


def _bare(answer: str) -> str:
    return answer[:SEEN_CHARS].translate(_QUOTES).lstrip("*_#> \n\t\"'")


def may_refuse(beginning: str) -> bool:
    """Whether a beginning of an answer, however short, may still become one that declines.

    >>> [may_refuse(said) for said in ("", "I", "I'm sor", "It", "Unf", "The capital")]
    [True, True, True, False, True, False]
    """
    seen = " ".join(_bare(beginning).casefold().split())
    return any(opening.startswith(seen) or seen.startswith(opening) for opening in _OPENINGS)


def is_about_refusing(question: str) -> bool:
    """Whether a refusal may be what is asked for."""
    return _ABOUT.search(question.translate(_QUOTES)) is not None
