"""Says whether a user turn continues the task before it or stands alone, from its words only.

Closed lists (``turn_words``) of what points back ("it", "again", "go on", "weiter"), of what
speaks of an answer ("Any mistakes?") and of how a question of its own begins. A short turn that
none decides is unclear, and the model reads it beside the task; so are short turns in a language
that has no list.
"""

import re
from typing import Literal

from classifier.turn_words import (
    ADDS,
    ANSWERS,
    ASKING,
    ASSENT,
    BACK,
    BESIDE_ANSWERS,
    BESIDE_COURTESY,
    COURTESY,
    EMPTY,
    JOINS,
    PARTS,
    TASKS,
    WHENCE,
)

#: ``courtesy`` is a greeting, thanks or farewell: it stands alone, and nothing continues it.
Reading = Literal["alone", "courtesy", "continues", "unclear"]

#: A turn of more words or as many characters is a task of its own, unless it opens by pointing
#: back. Read with its context, small talk before a hard question sent it small: 28% of the hard
#: prompts went large instead of 49% (bench/classifier/robustness.py).
SHORT_WORDS, SHORT_CHARS = 7, 60
#: And beyond these whatever it opens with.
MOST_WORDS, MOST_CHARS = 25, 160
#: A question with so many words of its own needs nothing from before.
_OWN_WORDS = 2
#: A turn of fewer characters in a script without spaces is a word or two.
_WIDE_CHARS = 6

_MARKS = "?\uff1f\u061f"
#: What a turn about the answer may hold besides. "My code" and "our plan" are no part of it.
_BESIDE = (EMPTY | ASKING | TASKS | BESIDE_ANSWERS | frozenset(_MARKS)) - ANSWERS - {"my", "our"}
_WORD = re.compile(rf"[^\W_]+(?:'[^\W\d_]+)?|[{_MARKS}]")
#: Kana, Chinese characters, Thai.
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
#: Code, a quoted text or a pasted one: the turn brings what it speaks of.
_BRINGS = re.compile(r"\n|```|: \S|[\"\u201c\u00ab]\w")
_SUM = re.compile(r"[\d\s.,()=]*\d\s*[-+*/^%\u00d7\u00f7]\s*[\d\s.,()=+*/^%\u00d7\u00f7?-]+")
_SWITCH = re.compile(
    r"(?:[\w' ]{0,24}[,.:;] )?(?:by the way|btw|unrelated(?:ly)?|something (?:else|different)|"
    r"(?:an?)?(?:other|new|different) (?:question|topic|task|thing)|change of (?:topic|subject)|"
    r"off.topic|etwas anderes|andere frage|übrigens|autre question|otra pregunta|por cierto|"
    r"altra domanda|outra pergunta)\b"
)
_MORE = re.compile(
    r"(?:what (?:about|if|else)|how (?:about|come|so)|what do(?:es)? (?:you|that) mean|"
    r"are you sure)\b"
)
#: Of the answer, not of something else: "the solution to this puzzle" names its own.
_THE_ANSWER = re.compile(
    r"\b(?:the|your) (?:(?:first|second|third|last|final|full|whole) )?(?:answer|solution|proof|"
    r"derivation|argument|reasoning|explanation|conclusion)s?\b(?! (?:of|to|for|in|from|behind)\b)"
)
#: "it", "this" and "there" that point at nothing said.
_IDLE = re.compile(
    r"\bis it (?:possible|true|ok|okay|safe|legal|normal|allowed)\b|\bhow is it going\b|"
    r"\b(?:time|day|date|year|month|season)\b.{0,12}\bis it\b|\bthere (?:is|are)\b|"
    r"\b(?:is|are) there\b|\b(?:is|was|will) it (?:going to )?(?:be |get )?(?:rain|snow|cold|hot|"
    r"warm|sunny|late|dark|windy)\w*|"
    r"\bthis (?:morning|afternoon|evening|week|month|year|quarter)\w*"
)


def reading(turn: str) -> Reading:
    """Return how a cleaned user turn relates to what came before it; linear in its length."""
    if len(turn) > MOST_CHARS or _BRINGS.search(turn):
        return "alone"
    lower = turn.lower().replace("\u2019", "'")
    words = _WORD.findall(_IDLE.sub(" today ", lower))
    question = bool(words) and words[-1] in _MARKS
    said = [word for word in words if word not in _MARKS]
    if not COURTESY.isdisjoint(said) and (COURTESY | BESIDE_COURTESY).issuperset(said):
        return "courtesy"
    if len(said) > MOST_WORDS or _SWITCH.match(lower) or _SUM.fullmatch(lower):
        return "alone"
    rest = _without_assent(said)
    if not rest or _about_the_answer(_WORD.findall(lower)):
        return "continues"
    if len(said) > SHORT_WORDS or len(turn) >= SHORT_CHARS:
        return "continues" if _opens_back(rest, len(rest) < len(said)) else "alone"
    return _short(rest, question)


def _without_assent(words: list[str]) -> list[str]:
    idle = ASSENT | COURTESY
    start = next((i for i, word in enumerate(words) if word not in idle), len(words))
    return words[start:]


def _opens_back(words: list[str], assented: bool) -> bool:
    """Whether a longer turn begins as the next step of something: "commit it and then ..."."""
    own = [word for word in words if word not in EMPTY]
    if words[0] in ASKING and len(own) > _OWN_WORDS and ADDS.isdisjoint(words):
        return False
    if assented and len(words) <= SHORT_WORDS and _short(words, False) == "continues":
        return True
    return words[0] in JOINS or not ADDS.isdisjoint(words if assented else words[:4])


def _about_the_answer(words: list[str]) -> bool:
    """Whether all that a turn speaks of is an answer and what is to be done to it."""
    own = [word for word in words if word not in _BESIDE]
    return not ANSWERS.isdisjoint(own) and ANSWERS.issuperset(own)


def _short(words: list[str], question: bool) -> Reading:
    """Read a short turn whose assent is taken off: by what it points at, then by how it asks."""
    own = [word for word in words if word not in EMPTY and len(word) > 1]
    first, asks = words[0], words[0] in ASKING | TASKS
    joined = " ".join(words)
    figures = any(word.isdigit() for word in words) and PARTS.isdisjoint(words)
    if asks and not own and figures and not (first in WHENCE or _MORE.match(joined)):
        return "alone"  # "what is 2 + 2?", and not "what about 0?"
    if first in JOINS and not ASKING.isdisjoint(words[:2]) and len(own) >= _OWN_WORDS:
        return "unclear"  # "and what is the capital of France?"
    if first in JOINS or not BACK.isdisjoint(words) or _MORE.match(joined):
        return "continues"
    if _THE_ANSWER.search(joined):
        return "continues"
    if not own:
        return "unclear" if asks and "you" in words else "continues"
    if _WIDE.search(own[0]):
        length = sum(map(len, words))
        return "continues" if length < _WIDE_CHARS else "alone" if question else "unclear"
    enough = _OWN_WORDS - (first in ASKING)
    return "alone" if (asks or question) and len(own) >= enough else "unclear"
