"""From a conversation to the one bounded string that every model of the ladder reads.

Every step is linear and the text capped before it is read closely, so no prompt, however
long or odd, takes unbounded time. The last user turn is read; with it the task that it continues
(``following``), and of a long one what it asks (``asking``). What the assistant answered, tools
returned or a harness put in is not read.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from classifier.asking import SEEN_CHARS, question_out_of_sight
from classifier.courtesy import without_courtesy
from classifier.following import reading
from classifier.pasted import without_data

Message = Mapping[str, Any]
Conversation = Sequence[Message] | str

#: Characters of the scored turn: its head carries the task, its tail the question. A 96-token
#: encoder sees about 400 characters, the lexical model gains nothing beyond 2,500.
HEAD_CHARS, TAIL_CHARS = 2_000, 500
#: Characters of earlier turns, about 100 tokens, where no user turn says what the task is.
CONTEXT_CHARS, SYSTEM_CHARS = 400, 60
#: Characters of a task that a follow-up continues, its two ends, and turns read between the two.
TASK_HEAD_CHARS, TASK_TAIL_CHARS, STEPS = 1_500, 500, 4
#: Before whitespace is collapsed, so that padding costs no content.
RAW_HEAD_CHARS, RAW_TAIL_CHARS = 16_000, 4_000
#: Looked through for tags that a harness injects; longer texts are cut first.
STRIP_CHARS = 400_000
#: User turns looked at, newest first.
TURNS = 50

#: Blocks that coding agents and chat front ends insert around what the person wrote: reminders,
#: the state of an editor, files.
HARNESS_TAGS = (
    "system-reminder",
    "environment_context",
    "environment_details",
    "user_instructions",
    "user_info",
    "git_status",
    "ide_opened_file",
    "ide_selection",
    "open_and_recently_viewed_files",
    "attached_files",
    "attachments",
    "file_content",
    "editorContext",
    "reminderInstructions",
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
    """Return the scored text of a conversation or a raw prompt, at most 3,000 characters.

    Empty where the last user turn holds no text: an image is not scored by an older turn.
    """
    if isinstance(conversation, str):
        return _read(conversation)
    messages = [m for m in conversation if isinstance(m, Mapping)]
    for at in reversed(range(len(messages))):
        text = _content(messages[at]) if _role(messages[at]) == "user" else None
        if text is not None and not text.strip():
            return ""
        if text is not None and (turn := _read(text)):  # else a harness wrote it all
            return _with_its_task(turn, messages[:at])
    return clean("\n".join(map(_content, messages[-TURNS:])))


def _read(text: str) -> str:
    """Return a turn as it is read: cleaned, without courtesy, what it asks within sight."""
    cleaned = without_courtesy(clean(text))
    if len(cleaned) <= SEEN_CHARS:
        return without_data(cleaned)
    question = _normalise(question_out_of_sight(_person_wrote(text)))
    return without_data(f"{question}\n{cleaned}" if question else cleaned)


def _with_its_task(turn: str, before: Sequence[Message]) -> str:
    """Return the turn with what it continues; the answers between are not read."""
    how = reading(turn)
    if how in ("alone", "courtesy"):
        return turn
    thread = _thread(before)
    if not thread:
        context = _context(before)
        return f"{turn}\n{context}" if context else turn
    if how == "continues":
        return "\n".join([*thread, turn])
    return "\n".join([turn, *(f"[user] {text}" for text in thread)])


def _thread(before: Sequence[Message]) -> list[str]:
    """Return the user's turns since the last one that stands alone, that one first."""
    thread: list[str] = []
    users = (_content(m) for m in reversed(before) if _role(m) == "user")
    for text in map(_read, islice(users, TURNS)):
        how = reading(text) if text else "courtesy"
        if how == "alone":
            return [_ends(text, TASK_HEAD_CHARS, TASK_TAIL_CHARS), *thread]
        if how == "unclear" and len(thread) < STEPS:
            thread.insert(0, text)
    return thread


def clean(text: str) -> str:
    """Strip harness blocks, normalise Unicode and whitespace, keep the head and the tail."""
    text = _person_wrote(text)
    if len(text) > _FIRST_HEAD_CHARS + _FIRST_TAIL_CHARS:
        head, tail = _normalise(text[:_FIRST_HEAD_CHARS]), _normalise(text[-_FIRST_TAIL_CHARS:])
        if min(len(head) - HEAD_CHARS, len(tail) - TAIL_CHARS) >= _SEAM_CHARS:
            return f"{head[:HEAD_CHARS]}\n{tail[-TAIL_CHARS:]}"
    return _ends(_normalise(_ends(text, RAW_HEAD_CHARS, RAW_TAIL_CHARS)), HEAD_CHARS, TAIL_CHARS)


def harness_wrote(content: Any) -> bool:
    """Return whether a message's content is text, and all of it blocks that a harness put in."""
    text = _content({"content": content}).strip()
    return text.startswith("<") and not _person_wrote(text)


def _person_wrote(text: str) -> str:
    return _strip_harness(_ends(text.strip(), STRIP_CHARS // 2, STRIP_CHARS // 2)).strip()


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


def _role(message: Message) -> str:
    return str(message.get("role", "user"))


def _content(message: Message) -> str:
    """Return a message's text, its parts on lines of their own; what is not text is left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    parts = (p.get("text") if isinstance(p, Mapping) else p for p in content)
    return "\n".join(part for part in parts if isinstance(part, str))


def _context(before: Sequence[Message]) -> str:
    """The system prompt's head, then the newest earlier turns, oldest of them first."""
    system = next((_content(m) for m in before if _role(m) in ("system", "developer")), "")
    lines = [f"[system] {clean(system)[:SYSTEM_CHARS]}"] if system else []
    left, earlier = CONTEXT_CHARS - sum(map(len, lines)), []
    for message in reversed(before):
        role, text = _role(message), _content(message)
        if role not in ("user", "assistant") or not text:
            continue
        line = f"[{role}] {clean(text)}"[:left]
        earlier.append(line)
        left -= len(line)
        if left < 20:
            break
    return "\n".join(lines + earlier[::-1])
