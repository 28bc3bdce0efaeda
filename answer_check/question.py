"""What a question says of how it may be answered."""

import re

# What is wanted stands at an end of a question; between them may stand a book.
END_CHARS = 4000
_NUMBER = re.compile(r"(?<![\d.,])\d{1,3}(?![\d.,]*\d)")
_WORD = re.compile(r"[a-z]+")
_NAMED = {
    **{"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "dozen": 12, "twenty": 20, "thirty": 30},
    **{"forty": 40, "fifty": 50, "hundred": 100},
}


def ends_of(question: str) -> str:
    """The beginning and the end of a question: what a search in it looks at.

    >>> len(ends_of("x" * 1_000_000))
    8001
    """
    if len(question) <= 2 * END_CHARS:
        return question
    return f"{question[:END_CHARS]}\n{question[-END_CHARS:]}"


def asked_times(question: str) -> int:
    """How often a question may want one thing said: its lines, or the largest number in it that is
    no year.

    >>> asked_times("Say it ten times"), asked_times("Which?\\na\\nb"), asked_times("In 1969?")
    (10, 3, 1)
    """
    ends = ends_of(question)
    numbers = [int(found) for found in _NUMBER.findall(ends)]
    named = [_NAMED[word] for word in _WORD.findall(ends.lower()) if word in _NAMED]
    return max(1, question.strip().count("\n") + 1, *numbers, *named)
