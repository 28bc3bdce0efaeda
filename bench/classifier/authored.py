"""Prompts written for this project: what people ask a small model daily, and what they should not.

They carry weak labels in the default's training data (declared in the model card), because no
public outcome file holds everyday bounded work. They were written by kind of work, without a look
at the prompts that judge. Families in ``HELD_OUT`` are never trained on, those in ``CHOOSING``
neither: they decide between rungs and mixes of data.
"""

import json
from pathlib import Path

Families = dict[str, list[str]]

_PROMPTS: dict[str, Families] = json.loads(
    Path(__file__).with_name("authored.json").read_text(encoding="utf-8")
)
EVERYDAY, HARD = _PROMPTS["everyday"], _PROMPTS["hard"]

#: Whole families kept for evaluation.
HELD_OUT = frozenset(
    {"invoice", "smalltalk", "faq", "numbers", "systems", "clinical"}
    | {"contest", "physics", "statistics", "argument", "planning"}
    | {"ripple", "market", "business", "elsewhere"}
)
#: Whole families kept to choose by.
CHOOSING = frozenset(
    {"helpdesk", "shop", "label", "law", "sql", "screenplay", "negotiation", "analysis"}
    | {"electronics", "puzzle", "tradeoff", "ledger"}
)

#: Short hard questions across domains, and bounded ones in the same words and in other languages:
#: the heads learn them by themselves, with the encoder as it is.
FOR_HEADS = frozenset(
    {"crossdomain", "secondorder", "boardroom", "office", "policy", "desk", "abroad"}
)

#: Bounded instructions, and an address to a hard prompt, to be put before or behind a document.
BOUNDED_ASKS = (
    "Summarize the text.",
    "Write a headline for this.",
    "Who is mentioned here?",
    "In one line, what is this about?",
    "List the places named in the text.",
    "Rewrite this in simpler words.",
    "Translate the text into French.",
    "Give three keywords.",
    "Is the tone positive, negative or neutral?",
    "Extract every date and number.",
    "Which category fits: news, opinion, instructions, story?",
    "Shorten this to fifty words.",
)
HARD_ASKS = ("Here is some background.", "For context:", "Notes so far:", "")


def over_document(ask: str, document: str, behind: bool) -> str:
    """Return an instruction with a document, so that length alone says nothing of difficulty."""
    return f"{document}\n\n{ask}" if behind else f"{ask}\n\n{document}"
