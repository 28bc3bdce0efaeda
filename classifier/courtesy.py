"""Takes greetings and thanks from around a prompt: politeness must not decide a route.

Only whole phrases at the very ends, and only where words remain; a prompt that is nothing but
courtesy stays as it is.
"""

import re

#: Words that must remain: "please help" is a prompt, not courtesy around one.
_LEAST_WORDS = 3
#: Characters at the end that closing phrases may fill.
_CLOSING_CHARS = 160

_HOPE = (
    r"(?:i )?hope (?:you(?: are|'re)|this (?:message |e-?mail |note )?finds you|all is)"
    r"(?: doing| all)? (?:well|fine|good|great)"
)
_THANKS = (
    r"(?:many thanks|thanks|thank you|cheers)"
    r"(?: so much| very much| a lot| in advance| for (?:your|the) (?:help|time))*"
)
_GREETING = r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day))(?: there| all| everyone)?"
_HELP = r"(?:can|could|would|will) you (?:please )?help me(?: out)?(?: with (?:this|something))?"
_SENTENCE = rf"(?:{_GREETING}|{_HOPE}|{_HELP}|quick (?:one|question))[,.!?:]"
_OPENING = re.compile(rf"(?:(?:{_SENTENCE}|(?:please|kindly),?)\s+)+", re.IGNORECASE)
_CLOSING = re.compile(
    rf"(?:(?:[\s,;]{{1,3}}please|(?:(?<=[.!?])|[,;\n])\s{{0,2}}(?:{_THANKS}|{_HOPE}))[.!]{{0,3}})+$",
    re.IGNORECASE,
)


def without_courtesy(text: str) -> str:
    """Return a cleaned turn without the courtesies it opens and closes with."""
    opening = _OPENING.match(text)
    start, end = opening.end() if opening else 0, len(text)
    closing = _CLOSING.search(text, max(len(text) - _CLOSING_CHARS, start))
    if closing is not None:
        end = closing.start()
    kept = text[start:end]
    return kept if len(kept.split(maxsplit=_LEAST_WORDS)) >= _LEAST_WORDS else text
