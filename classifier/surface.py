"""Capped surface features: what a prompt looks like, without knowing its words."""

import math
import re

import numpy as np
from numpy.typing import NDArray

#: Tasks with an answer inside the prompt or a fixed form: the small tier's home ground.
BOUNDED = re.compile(
    r"\b(summar\w*|extract\w*|classif\w*|categor\w*|translate|rewrite|rephrase|paraphrase|"
    r"proofread|label|tag|list the|headline|title|sentiment|yes or no|true or false|"
    r"passage|article|review|paragraph|dialogue|conversation|email)\b"
)
#: Tasks that need several steps held together: where a larger model has something to add.
REASONING = re.compile(
    r"\b(prove|proof|derive|theorem|lemma|integral|eigen\w*|probabilit\w*|polynomial|"
    r"complexity|algorithm|optimal|design|architect\w*|analy[sz]e|trade-?offs?|diagnos\w*|"
    r"hypothes\w*|step by step|determine|compute|calculate|implement|refactor|debug|"
    r"constraints?|justify|compare|evaluate|strategy|prove that|show that)\b"
)
CODE = re.compile(r"```|\bdef \w|\bclass \w|#include|\bSELECT\b|=>|;\n|\breturn\b|\{\n")
OPTIONS = re.compile(r"(?:^|\s)\(?[A-Ea-e1-5][.):]\s")
NUMBER = re.compile(r"\d[\d.,]*")
MATH = re.compile(r"[=^\\$<>+*/|∑∫√≤≥∈∀∃]")

NAMES = (
    "log_chars",
    "log_words",
    "log_lines",
    "word_length",
    "digits",
    "capitals",
    "non_ascii",
    "punctuation",
    "numbers",
    "mathematics",
    "code",
    "options",
    "questions",
    "ends_in_question",
    "bounded_words",
    "reasoning_words",
    "quotes",
    "blank",
)


def surface(text: str) -> NDArray[np.float32]:
    """Return the ``len(NAMES)`` features of an already cleaned text; counts grow as log(1 + n)."""
    lower = text.lower()
    chars, words = len(text), len(lower.split())
    rate = 1.0 / max(chars, 1)
    return np.array(
        [
            math.log1p(chars),
            math.log1p(words),
            math.log1p(text.count("\n")),
            chars / max(words, 1),
            sum(map(text.count, "0123456789")) * rate,
            sum(map(str.isupper, text[:500])) / max(min(chars, 500), 1),
            (chars - len(text.encode("ascii", "ignore"))) * rate,
            sum(map(text.count, ".,;:!?()")) * rate,
            math.log1p(len(NUMBER.findall(text))),
            math.log1p(len(MATH.findall(text))),
            math.log1p(len(CODE.findall(text))),
            math.log1p(len(OPTIONS.findall(text))),
            math.log1p(text.count("?")),
            float(text.rstrip().endswith("?")),
            math.log1p(len(BOUNDED.findall(lower))),
            math.log1p(len(REASONING.findall(lower))),
            math.log1p(text.count('"') + text.count("“")),
            float(not text),
        ],
        dtype=np.float32,
    )
