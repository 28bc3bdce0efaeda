"""Sets aside the lines of data beside a question: logs, rows, stack frames, dumps.

The encoder sees 96 word pieces. A few lines of a log fill them, look like nothing but bounded
work, and outweigh whatever is asked beside them. Where language is left that asks something, a run
of such lines is read as a mark that there was one. Every step is linear in the text.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from classifier.asking import asks

#: What a run of data is read as. Of the marks that were tried ("...", "[data]", nothing) it keeps
#: the most bounded questions small, and no fewer hard ones large (bench/classifier/beside_data).
MARK = "... ..."
#: Words that are more than the label of a paste.
_WORDS = 8
#: Lines of one form that make a run, where one alone could be language or mathematics.
_LEAST_ROWS = 2
#: Lines back at which data still surrounds a line: a message over two lines, a cut.
_GAP = 2
#: Of a row: the fewest fields, and the most words in one.
_LEAST_FIELDS, _FIELD_WORDS = 3, 3
#: Sentences of one form have so many numbers at least: "item 3 sold on day 4".
_LEAST_NUMBERS = 2

_DAY = r"(?:\d{4}[-/]\d\d[-/]\d\d|\d\d?[-/](?:\d\d|[A-Z][a-z]{2})[-/]\d{4})"
_CLOCK = r"\d\d?:\d\d:\d\d"
_LEVEL = r"[\[(<]?(?:ERROR|WARN|WARNING|INFO|DEBUG|TRACE|FATAL|CRITICAL|NOTICE)\b[\]):>]* "
#: One line of these is data by its beginning: a time, an address, a frame, an object.
_RECORD = re.compile(
    rf"(?:{_LEVEL})?[\[(<]?"
    rf"(?:{_DAY}[ T:]{{1,2}}\d\d:\d\d|{_CLOCK}\b|[A-Z][a-z]{{2}} \d\d? {_CLOCK})"
    r"|\d{1,3}(?:\.\d{1,3}){3} \S"
    r"|File \"[^\"]*\", line \d|at [\w.$<>/]+ ?\([^()]*\)$|at \S+:\d+(?::\d+)?$|#\d+ (?:0x|\S+ ?\()"
    r"|Traceback \(|Caused by: \S|\.\.\. \d+ more$"
    r"|(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)(?:: |$)"
    r"|\{ ?\"[^\"]*\" ?:.*\},?$"
)
_SOURCE_FOLLOWS = re.compile(r"File \"[^\"]*\", line \d")
#: A line of a log without times, of an object over several lines, of a table drawn with bars.
_PART = re.compile(
    rf"{_LEVEL}\S.*|\"[^\"]*\" ?: ?\S.*|\|.*\||[-+|=: ]{{3,}}"
    r"|(?:[\w.]+=(?:\"[^\"]*\"|\S*) ?){3,}"
)
_SEPARATOR = re.compile(r" ?[,;|] ?")
_FIGURE = re.compile(r"\S*\d\S*|[0-9a-f]{2}")
_NUMBER = re.compile(r"\d[\d.,]*")
#: The choices of a question, a list, formulas and code are not rows.
_LISTED = re.compile(r"\(|\w{1,3} ?[.):] |>>>|[-*\u2022] ")
_FORMULA = re.compile(r"[=^\\\u2264\u2265\u2211\u222b\u221a]|\w\(")


def without_data(text: str) -> str:
    """Return a cleaned turn with its runs of data as marks, if the language left asks something."""
    lines = text.split("\n")
    if len(lines) == 1:
        return text
    data = _data(lines)
    language = [line for line, is_data in zip(lines, data, strict=True) if not is_data]
    if len(language) == len(lines) or not _says_enough("\n".join(language)):
        return text
    kept = (MARK if is_data else line for line, is_data in zip(lines, data, strict=True))
    return "\n".join(_once(kept))


def _says_enough(language: str) -> bool:
    """Whether language asks, or is so much that it may in words that are on no list."""
    return len(language.split(maxsplit=_WORDS)) >= _WORDS or asks(language)


def _once(lines: Iterator[str]) -> Iterator[str]:
    """Yield one mark a run, and once a question that was put first and stands below too."""
    first = last = ""
    for line in lines:
        if line != first and line != last:
            yield line
        first, last = first or line, line


def _data(lines: Sequence[str]) -> list[bool]:
    """Return of each line whether it is data."""
    found = [_is_record(lines, at) for at in range(len(lines))]
    at = 0
    for form, group in groupby(map(_form, lines)):
        length = len(list(group))
        if form and length >= _LEAST_ROWS:
            found[at : at + length] = [True] * length
        at += length
    for at in reversed(range(len(lines) - 1)):
        if not found[at] and found[at + 1]:
            inside = any(found[max(at - _GAP, 0) : at]) and not _says_enough(lines[at])
            found[at] = inside or _is_head(lines[at], lines[at + 1])
    return found


def _is_record(lines: Sequence[str], at: int) -> bool:
    line = lines[at]
    if _RECORD.match(line) and not line.endswith("?"):
        return True
    return at > 0 and _SOURCE_FOLLOWS.match(lines[at - 1]) is not None


def _form(line: str) -> str:
    """Return what a line has in common with the other rows of its run; empty for language."""
    if line.endswith("?"):
        return ""
    if _PART.fullmatch(line):
        return "part"
    if _LISTED.match(line) or _FORMULA.search(line):
        return ""
    fields = _SEPARATOR.split(line)
    if len(fields) >= _LEAST_FIELDS and _is_row(fields):
        return "row"
    words = line.split()
    figures = sum(_FIGURE.fullmatch(word) is not None for word in words)
    if len(words) >= _LEAST_FIELDS and 2 * figures > len(words):
        return "row"
    form = _NUMBER.sub("0", line)
    return form if form.count("0") >= _LEAST_NUMBERS else ""


def _is_row(fields: Sequence[str]) -> bool:
    """Whether fields are a row: short all, and a third of them figures or empty."""
    figures = sum(not field or _NUMBER.search(field) is not None for field in fields)
    short = all(len(field.split()) <= _FIELD_WORDS for field in fields)
    return short and 3 * figures >= len(fields) and not fields[-1].endswith((".", "!"))


def _is_head(line: str, row: str) -> bool:
    """Whether a line names the columns of the row below it."""
    names = _SEPARATOR.split(line)
    short = all(len(name.split()) <= _FIELD_WORDS for name in names) and line[-1] not in ".?!:"
    return short and len(names) >= _LEAST_FIELDS and len(names) == len(_SEPARATOR.split(row))
