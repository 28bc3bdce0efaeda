"""From a conversation to the one bounded string that every model of the ladder reads.

Every step is linear and the text capped before it is read closely, so no prompt, however
long or odd, takes unbounded time. The last user turn leads. Where it is too short to stand alone,
what came before follows, tagged with its role and cut to ``CONTEXT_CHARS``.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from classifier.courtesy import without_courtesy

Conversation = Sequence[Mapping[str, Any]] | str

#: Characters of the scored turn: its head carries the task, its tail the question. A 96-token
#: encoder sees about 400 characters, the lexical model gains nothing beyond 2,500.
HEAD_CHARS, TAIL_CHARS = 2_000, 500
#: Characters of earlier turns, about 100 tokens: enough for "and for n = 7?".
CONTEXT_CHARS, SYSTEM_CHARS = 400, 60
#: A turn of so many words or characters is read alone. With its context, small talk before a hard
#: question sent it small: 28% of the hard prompts went large instead of 49%
#: (bench/classifier/robustness.py, without this rule).
ALONE_WORDS, ALONE_CHARS = 8, 60
#: Before whitespace is collapsed, so that padding costs no content.
RAW_HEAD_CHARS, RAW_TAIL_CHARS = 16_000, 4_000
#: Looked through for tags that a harness injects; longer texts are cut first.
STRIP_CHARS = 400_000
#: Messages looked at, newest first.
MESSAGES = 50

#: Blocks that coding agents and chat front ends insert around what the person wrote.
HARNESS_TAGS = (
    "system-reminder",
    "environment_context",
    "environment_details",
    "user_instructions",
    "ide_opened_file",
    "ide_selection",
    "local-command-stdout",
    "command-message",
    "additional_data",
)

#: What a long text is read as first: where its two ends, cleaned, fill the caps, the middle needs
#: no cleaning.
_FIRST_HEAD_CHARS, _FIRST_TAIL_CHARS = 4_000, 1_000
#: Ends of a cleaned part that what was cut off could have changed: a combining mark, a space.
_SEAM_CHARS = 64

_CLOSING = re.compile(f"</(?:{'|'.join(HARNESS_TAGS)})>")
_CONTROL = {code: " " for code in range(32) if chr(code) not in "\n\t"} | {127: " "}
_CONTROL |= {ord(c): "" for c in "\u200b\u200c\u200d\u2060\ufeff\u00ad"}


def flatten(conversation: Conversation) -> str:
    """Return the scored text of a conversation or a raw prompt, at most 3,000 characters."""
    if isinstance(conversation, str):
        return without_courtesy(clean(conversation))
    turns = [(role, text) for role, text in _turns(conversation) if text]
    scored = next((i for i in reversed(range(len(turns))) if turns[i][0] == "user"), None)
    if scored is None:
        return clean("\n".join(text for _, text in turns))
    turn = without_courtesy(clean(turns[scored][1]))
    if len(turn) >= ALONE_CHARS or len(turn.split()) >= ALONE_WORDS:
        return turn
    context = _context(turns[:scored])
    return f"{turn}\n{context}" if context else turn


def clean(text: str) -> str:
    """Strip harness blocks, normalise Unicode and whitespace, keep the head and the tail."""
    text = _ends(text.strip(), STRIP_CHARS // 2, STRIP_CHARS // 2)
    text = _strip_harness(text).strip()
    if len(text) > _FIRST_HEAD_CHARS + _FIRST_TAIL_CHARS:
        head, tail = _normalise(text[:_FIRST_HEAD_CHARS]), _normalise(text[-_FIRST_TAIL_CHARS:])
        if min(len(head) - HEAD_CHARS, len(tail) - TAIL_CHARS) >= _SEAM_CHARS:
            return f"{head[:HEAD_CHARS]}\n{tail[-TAIL_CHARS:]}"
    return _ends(_normalise(_ends(text, RAW_HEAD_CHARS, RAW_TAIL_CHARS)), HEAD_CHARS, TAIL_CHARS)


def _normalise(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")
    # One character can become 18: what is cut here lies beyond both ends, or is nearly all space.
    text = _ends(unicodedata.normalize("NFKC", text), RAW_HEAD_CHARS, RAW_TAIL_CHARS)
    text = text.translate(_CONTROL)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _ends(text: str, head: int, tail: int) -> str:
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def _strip_harness(text: str) -> str:
    if not _CLOSING.search(text):  # one pass for all tags, the only one that most texts need
        return text
    for tag in HARNESS_TAGS:
        opening, closing = f"<{tag}", f"</{tag}>"
        if opening in text:
            text = "".join(_outside(text, opening, closing))
    return text


def _outside(text: str, opening: str, closing: str) -> Iterator[str]:
    """Yield what lies outside the blocks; a block that never closes is kept as text."""
    at = 0
    while (start := text.find(opening, at)) >= 0:
        end = text.find(closing, start)
        if end < 0:
            break
        yield text[at:start]
        at = end + len(closing)
    yield text[at:]


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Role and text of the first message and the newest ``MESSAGES``; what is not text is left."""
    kept = list(messages[:1]) + list(messages[1:][-MESSAGES:])
    return [
        (str(m.get("role", "user")), _content(m.get("content")))
        for m in kept
        if isinstance(m, Mapping)
    ]


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    parts = (p.get("text") if isinstance(p, Mapping) else p for p in content[:MESSAGES])
    return "\n".join(part for part in parts if isinstance(part, str))


def _context(turns: list[tuple[str, str]]) -> str:
    """The system prompt's head, then the newest earlier turns, oldest of them first."""
    system = next((text for role, text in turns if role in ("system", "developer")), "")
    lines = [f"[system] {clean(system)[:SYSTEM_CHARS]}"] if system else []
    left, earlier = CONTEXT_CHARS - sum(map(len, lines)), []
    for role, text in reversed(turns):
        if role not in ("user", "assistant"):
            continue
        line = f"[{role}] {clean(text)}"[:left]
        earlier.append(line)
        left -= len(line)
        if left < 20:
            break
    return "\n".join(lines + earlier[::-1])
