"""Answers that decline to answer, told by how they begin."""

import re

from answer_check.question import ends_of

_APOLOGY = (
    r"(?:(?:i'?m|i am|we'?re|we are) (?:(?:very|really|truly|so|terribly|deeply) )?(?:sorry|afraid)"
    r"|sorry|(?:i|we) (?:apologi[sz]e|regret)|my (?:sincere )?apologies|apologies|unfortunately"
    r"|regrettably)(?: for [^.,;:!\n]{1,50})?"
)
_CANNOT = (
    r"(?:can(?:no|')?t|can not|won't|will not|(?:am|'m|are|'re) (?:not able|unable|not allowed"
    r"|not permitted|not going|not in a position))(?: (?:and|or) (?:will|must|should) not)?"
)
# What is a refusal with no more words after it.
_LACKS = (
    r"(?:(?:must|have to|need to) (?:(?:respectfully|politely) )?(?:decline|refuse)"
    r"|(?:do not|don't) have (?:the ability|the capability|access(?! to (?:my|our)\b)|real-time"
    r"|personal|enough (?:information|context|data|details))"
    r"|(?:do not|don't) feel comfortable)"
)
# What nobody but an assistant says that it cannot do; the idioms that only look like it are none.
_WHAT = (
    r"(?:assist|help(?! (?:but|it|myself|ourselves|\w+ing)\b)|answer|provide|fulfil|comply"
    r"|do (?:that|this|so)(?=\s*(?:[.,;:!]|for you|$))|discuss|generate|create|respond|engage"
    r"|complete|process|offer(?! (?:more|enough)\b)|share(?! (?:a|any|no) common)|access|write"
    r"|give(?! (?:up|in|enough|more|you (?:a better|more|enough))\b)|browse|continue)"
    r"(?! (?:my|our|me|us)\b)"
)
# What it cannot do where it has apologised for it.
_SORRY_WHAT = (
    rf"(?:{_WHAT}|support|tell|translate|open|view|recommend|advise|predict|perform|execute|produce"
    r"|disclose|reveal|identify|summari[sz]e|condone|fulfil|accommodate|satisfy|promote|endorse"
    r"|participate|proceed|look up|do (?:that|this|it)\b)"
)
_TO = r"\s+(?:to\s+)?(?:be able to\s+)?(?:\w+ly\s+)?"
_MODEL = r"(?:[\w-]+ ){0,3}(?:ai|language model|assistant|chatbot)"
_MADE = (
    r"(?: (?:language model|model|assistant|system|chatbot|developed|trained|created|made)"
    r"[^.]{0,60}?)?"
)
_ENDS = r"\s*(?:[.!]|$)"
# A beginning that apologises and says that it cannot, or says so of the model itself.
_BEGINS = re.compile(
    rf"(?:{_APOLOGY}[,.;:!]?\s+(?:but\s+|that\s+)?(?:as an? [^,.]{{0,60}},\s*)?(?:i|we)\s*"
    rf"(?:{_LACKS}|(?:{_CANNOT}|could not|couldn't)(?:{_TO}{_SORRY_WHAT}|(?: to)?{_ENDS}))"
    rf"|as an? {_MODEL}{_MADE},?\s*i\s*(?:{_LACKS}|{_CANNOT}(?! help but))"
    rf"|i(?:'m| am) (?:just |only )?an? {_MODEL}{_MADE},? (?:and|so|but),? (?:i )?"
    rf"(?:{_LACKS}|{_CANNOT}(?! help but))"
    rf"|(?:{_APOLOGY}[,.;:!]?\s+(?:but\s+)?)?(?:that|this)(?:'s| is) (?:not something|nothing)"
    rf"(?: that)? (?:i|we)(?: can| am able|'m able| are able|'re able){_TO}{_WHAT}"
    rf"|(?:i|we)\s*(?:{_LACKS}|{_CANNOT}{_TO}{_WHAT})"
    r"|(?:(?:es )?tut mir (?:sehr )?leid|entschuldigung),? (?:aber )?"
    r"(?:ich kann|(?:das|dabei|damit|hierbei) kann ich)"
    r"|(?:leider )?(?:ich kann|kann ich|(?:das|dabei|damit|hierbei) kann ich)"
    r" [^.!?\n]{0,60}\bnicht (?:\w+ )?(?:weiter)?(?:helfen|beantworten|unterstützen)"
    r"|(?:je suis désolée?|désolée?),? (?:mais )?je ne (?:peux|suis)"
    r"|(?:malheureusement,? )?je ne (?:peux|puis) (?:malheureusement )?pas (?:vous |te |t'|y )?"
    r"(?:aider|assister|répondre|fournir|traiter|accéder|générer)"
    r"|lo (?:siento|lamento)(?: mucho)?,? (?:pero )?no puedo"
    r"|no puedo (?:ayudar|asistir|responder|contestar|proporcionar)"
    r"|(?:desculpe|sinto muito),? (?:mas )?(?:não|nao) posso"
    r"|(?:não|nao) posso (?:ajudar|te ajudar|responder|fornecer)"
    r"|mi dispiace,? (?:ma )?non posso|non posso (?:aiutar|rispondere|fornire)"
    r"|(?:很抱歉|对不起|抱歉).{0,12}(?:无法|不能)"
    r"|我(?:无法|不能|没办法)(?:为您|为你|给您|给你)?(?:回答|提供|帮助|协助|满足|讨论|处理)"
    r"|als (?:ki|sprachmodell)[\w-]*,? kann ich [^.!?\n]{0,60}\b(?:nicht|keine?\w?)\b"
    r"|en tant qu'ia,? je ne (?:peux|puis)|como (?:una? )?(?:ia|modelo de lenguaje),? no puedo"
    r"|作为(?:一个|一名)?(?:人工智能|ai|语言模型)[^\uff0c,。]{0,12}[\uff0c,]?\s*我(?:无法|不能|没办法)"
    r"|(?:извините|простите|к сожалению|прошу прощения),? (?:но )?я не (?:могу|в состоянии)"
    r" (?:\w+ )?(?:помочь|ответить|предоставить|выполнить)"
    r"|(?:het spijt me|sorry),? (?:maar )?ik kan \w+ (?:daar|hier)(?:mee|bij)? niet"
    r" (?:mee |bij )?help"
    r"|죄송(?:합니다|하지만|해요)[^\n]{0,40}(?:수 없|어렵습니다)"
    r"|(?:申し訳|すみません|ごめんなさい).{0,30}(?:できません|られません|かねます))",
    re.IGNORECASE,
)
# What `_BEGINS` can begin with.
_OPENINGS = (
    *("i ", "i'", "we ", "we'", "sorry", "apologi", "my apologies", "my sincere apologies"),
    *("unfortunately", "regrettably", "as a ", "as an "),
    *(f"{it}{is_} {no}" for it in ("that", "this") for is_ in ("'s", " is")
      for no in ("not something", "nothing")),
    *("es tut mir", "tut mir", "entschuldigung", "leider ", "ich kann", "kann ich"),
    *(f"{at} kann ich" for at in ("das", "dabei", "damit", "hierbei")),
    *("je ", "désolé", "malheureusement", "lo siento", "lo lamento", "no puedo"),
    *("desculpe", "sinto muito", "não posso", "nao posso", "mi dispiace", "non posso"),
    *("很抱歉", "对不起", "抱歉", "我无法", "我不能", "我没办法"),
    *("als ki", "als sprachmodell", "en tant qu'ia", "como ia", "como un", "como modelo"),
    *("作为", "извините", "простите", "к сожалению", "прошу прощения", "het spijt me", "죄송"),
    *("申し訳", "すみません", "ごめんなさい"),
)  # fmt: skip
# Longer beginnings are answers.
SEEN_CHARS = 400
# What a model thought aloud before it answered, where no parser took it out.
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_THINKS = "<think>"
# Words by which a question is about refusals itself, or hands over words that may be one: to
# write, translate, mend or judge one.
_ABOUT = re.compile(
    r"\b(?:refus|declin|apolog|reject|turn(?:ing)? down|say(?:ing)? no\b|sorry\b|cannot\b|can't\b"
    r"|unable\b|unfortunately\b|leider\b|tut mir leid|désolé|lo siento"
    r"|translat|rewrit|rewrot|rephras|reword|paraphras|proofread|grammar|spelling|draft"
    r"|correct (?:the|this|these|that|it|my|any|all|following|errors?|mistakes?)\b|corrections?\b"
    r"|übersetz|korrigier|umformulier|absage|tradui|traduc|traduz|corrig)"
    r"|перевед|перевод|извинен|отказ|vertaal|vertal|weiger|번역|사과|거절"
    r"|翻译|改写|润色|道歉|拒绝|翻訳|訳して|添削",
    re.IGNORECASE,
)
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})


def refuses(answer: str) -> bool:
    """Whether an answer, or its beginning, declines.

    >>> refuses("**I'm sorry, but I can't help with that."), refuses("Sorry to hear that.")
    (True, False)
    """
    return _BEGINS.match(_bare(answer)) is not None


def spoken(answer: str) -> str:
    """The answer without what was thought aloud before it.

    >>> spoken("<think>Hm.</think>Paris.")
    'Paris.'
    """
    thought = _THOUGHT.match(answer)
    return answer[thought.end() :] if thought else answer


def _bare(answer: str) -> str:
    """As much of the answer as is looked at, without quotation marks or Markdown before it."""
    begun = spoken(answer)[:SEEN_CHARS].translate(_QUOTES)
    return begun.lstrip("*_#>`[( \n\r\t\"'\u201c\u201d\u201e\u00ab\u300c")


def may_refuse(beginning: str) -> bool:
    """Whether a beginning of an answer, however short, may still become one that declines.

    >>> [may_refuse(said) for said in ("", "I", "I'm sor", "It", "Unf", "The capital")]
    [True, True, True, False, True, False]
    """
    if (begun := spoken(beginning).lstrip()[: len(_THINKS)]) and _THINKS.startswith(begun):
        return True
    seen = " ".join(_bare(beginning).casefold().split())
    return any(opening.startswith(seen) or seen.startswith(opening) for opening in _OPENINGS)


def is_about_refusing(question: str) -> bool:
    """Whether a refusal may be what is asked for."""
    return _ABOUT.search(ends_of(question).translate(_QUOTES)) is not None
