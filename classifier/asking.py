"""Finds what a long text asks where the model would not see it: people paste around a question.

The encoder reads a text's first 64 and last 32 tokens. Where neither end holds a question or an
instruction, the likeliest sentence between them is the one. The verbs are English; question marks
count in any script.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

#: What the encoder surely sees of a text: about four characters a token.
HEAD_SEEN_CHARS, TAIL_SEEN_CHARS = 250, 120
SEEN_CHARS = HEAD_SEEN_CHARS + TAIL_SEEN_CHARS
#: Characters looked through, of a longer text both ends: 2 ms.
SEARCHED_CHARS = 60_000
#: Characters of the sentence put first, and the least that asks something.
MOST_CHARS, LEAST_CHARS = 400, 6
#: From this urge on a sentence at an end is taken as meant for the model; between them a mere
#: question mark will do.
_ASKS = 2


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FIRST_WORD = re.compile(r"[\W\d_]{0,8}(?:(?:question|task|request|todo|q)\W{1,3})?([^\W\d_]+)")
_COURTEOUS = _set("please kindly so now then finally and but")
_INSTRUCTS = _set(
    "prove show derive determine deduce justify explain analyze analyse assess evaluate compare "
    "contrast critique diagnose design devise propose plan implement refactor debug optimize "
    "optimise solve compute calculate estimate summarize summarise translate extract classify "
    "rewrite rephrase list identify find write draft describe discuss answer decide recommend "
    "give shorten proofread"
)
_ASKING = _set(
    "who what when where which whose why how is are was were do does did can could should would "
    "will has have given if under"
)
_ADDRESS = _set("tell i i'd your my help can could would will question task request todo q")
_OPENS = _INSTRUCTS | _COURTEOUS | _ADDRESS
_ENDS, _WIDE_ENDS = (".", "?", "!"), ("\u3002", "\uff1f", "\u061f")
_BULLETS, _PUNCTUATION = " \t-*#>()[].0123456789\"'\u201c", ",.:;!?"
_TO_YOU = re.compile(
    r"\b(?:(?:can|could|would|will) you|i(?:'d| would)? (?:want|need|like) you|help me|tell me|"
    r"your (?:task|job) is|i (?:really )?(?:want|need|would like) to (?:know|understand)|"
    r"my question is)\b",
    re.IGNORECASE,
)


class _Sentence(NamedTuple):
    start: int
    text: str
    #: Whether it has a line to itself, as what a person adds to a paste mostly does.
    own_line: bool


def question_out_of_sight(text: str) -> str:
    """Return what is asked between the ends of a long text; empty where an end asks something."""
    found = [(urge, s) for s in _candidates(text) if (urge := _urge(s))]
    hidden = [(urge, s) for urge, s in found if not _in_sight(s, len(text))]
    if not hidden or any(urge >= _ASKS for urge, s in found if _in_sight(s, len(text))):
        return ""
    _, best = max(hidden, key=lambda pair: (pair[0], pair[1].start))
    return best.text[:MOST_CHARS]


def asks(text: str) -> bool:
    """Return whether a text holds a question or an instruction."""
    return any(map(_urge, _candidates(text)))


def _in_sight(sentence: _Sentence, length: int) -> bool:
    after = sentence.start + len(sentence.text)
    return sentence.start < HEAD_SEEN_CHARS // 2 or after > length - TAIL_SEEN_CHARS


def _urge(sentence: _Sentence) -> int:
    """Return how surely a sentence is meant for the model."""
    words = [w for w in sentence.text.lower().split(maxsplit=4)[:4] if w not in _COURTEOUS]
    first = _first_word(" ".join(words))
    asks = _is_question(sentence.text)
    instructs = first in _INSTRUCTS and len(words) > 1  # "Answer:" is a label
    urge = 2 if instructs or (asks and first in _ASKING) else int(asks)
    if _TO_YOU.search(sentence.text[:60]):
        urge += 2
    return urge + sentence.own_line if urge else 0


def _first_word(text: str) -> str:
    found = _FIRST_WORD.match(text)
    return found[1].lower() if found else ""


def _is_question(text: str) -> bool:
    return text[-3:].rstrip("\"'\u201d)* ").endswith(("?", "\uff1f", "\u061f"))


def _candidates(text: str) -> Iterator[_Sentence]:
    """Yield the sentences that look like more than narration, with their places."""
    half = SEARCHED_CHARS // 2
    blocks = [(0, text)] if len(text) <= SEARCHED_CHARS else [(0, text[:half])]
    if len(text) > SEARCHED_CHARS:
        blocks.append((len(text) - half, text[-half:]))
    for at, block in blocks:
        for line in block.split("\n"):
            sentences = _sentences(line)
            for sentence in sentences:
                if len(sentence) >= LEAST_CHARS and _may_ask(sentence):
                    yield _Sentence(at, sentence.strip(), len(sentences) == 1)
                at += len(sentence) + 1


def _sentences(line: str) -> list[str]:
    """Split a line; by ``str.replace``, since a pattern takes six times as long."""
    for mark in _ENDS:
        line = line.replace(f"{mark} ", f"{mark}\0")
    for mark in _WIDE_ENDS:
        line = line.replace(mark, f"{mark}\0")
    return line.split("\0")


def _may_ask(sentence: str) -> bool:
    first = sentence[:40].lstrip(_BULLETS).lower().partition(" ")[0].rstrip(_PUNCTUATION)
    return first in _OPENS or _is_question(sentence)
