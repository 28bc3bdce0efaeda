"""Reads labelled rows and traffic from JSONL, CSV or Parquet; every fault names file and line."""

import csv
import gzip
import json
import logging
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from classifier.data.prompts import Prompts
from classifier.data.rows import Row
from classifier.errors import DataError
from classifier.text import Conversation

Located = tuple[str, Mapping[str, Any]]

_FORMATS = ".jsonl, .jsonl.gz, .csv or .parquet"
#: A prompt of 200,000 characters is 800 kB at most; a longer line is not a prompt.
_LINE_CHARS = 20_000_000
csv.field_size_limit(_LINE_CHARS)
# Outcomes as pandas (True) and spreadsheets (TRUE) write them into CSV.
_TRUTH = {"true": 1.0, "false": 0.0}
#: Weights beside nothing at all; beyond them the fit's 32 bits hold no number.
_WEIGHTS = 1e-9, 1e9
#: Parquet rows read at a time.
_PARQUET_ROWS = 250

log = logging.getLogger(__name__)


def read_rows(paths: Sequence[Path], most: int | None = None) -> list[Row]:
    """Return the labelled rows of the files; raises ``DataError`` at the first fault.

    A row is ``prompt`` or ``messages``, ``small`` in [0, 1], and optionally ``large``, ``group``,
    ``domain``, ``weight`` and ``ts``. Equal prompts become one row with their mean outcome; of more
    than ``most`` distinct prompts an even sample is kept. Both are logged.
    """
    found = Prompts(most)
    for where, record in records(paths):
        found.add(_row(where, record))
    files = ", ".join(map(str, paths))
    if not found.read:
        raise DataError(f"{files}: no rows")
    if found.left_out:
        log.warning("%s: %d rows; a sample of %d prompts is used", files, found.read, most)
    if found.repeats:
        log.warning(
            "%s: %d rows repeat a prompt; each counts once, with its mean outcome",
            files,
            found.repeats,
        )
    return found.rows()


def read_traffic(path: Path) -> list[Conversation]:
    """Return the conversations of a file whose labels, if any, are not read."""
    conversations = [conversation(where, record) for where, record in records([path])]
    if not conversations:
        raise DataError(f"{path}: no rows")
    return conversations


def records(paths: Iterable[Path], broken: list[str] | None = None) -> Iterator[Located]:
    """Yield the objects of the files, each with its file and line.

    The places of JSONL lines that hold no object are added to ``broken``; without it the first one
    raises ``DataError``.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        name = path.name.lower()
        if name.endswith((".jsonl", ".jsonl.gz")):
            yield from _jsonl(path, broken)
        elif name.endswith(".csv"):
            yield from _csv(path)
        elif name.endswith(".parquet"):
            yield from _parquet(path)
        else:
            raise DataError(f"{path}: unknown format; give {_FORMATS}")


def _lines(path: Path, newline: str) -> Iterator[str]:
    """Yield the lines of a file, one held at a time: a file may be larger than the memory."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline=newline) as lines:
            yield from lines
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: not readable as UTF-8 text ({type(fault).__name__})") from None


def _jsonl(path: Path, broken: list[str] | None) -> Iterator[Located]:
    for number, line in enumerate(_lines(path, "\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            yield f"{path}:{number}", record
        elif broken is None:
            raise DataError(f"{path}:{number}: not a JSON object")
        else:
            broken.append(f"{path}:{number}")


def _csv(path: Path) -> Iterator[Located]:
    # Not strict, an open quote takes in all rows up to the next one.
    reader = csv.DictReader(_lines(path, ""), strict=True)
    ended = 0
    try:
        names = [name for name in reader.fieldnames or () if name]
        ended = reader.line_num
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"{path}:1: two columns are called {twice[0]!r}")
        for record in reader:
            if any(record.pop(None, ())):
                raise DataError(
                    f"{path}:{ended + 1}: more cells than columns; a text with commas needs quotes"
                )
            ended = reader.line_num
            yield (
                f"{path}:{ended}",
                {k: v for k, v in record.items() if k and v not in ("", None)},
            )
    except csv.Error as fault:
        raise DataError(f"{path}:{ended + 1}: {fault}") from None


def _parquet(path: Path) -> Iterator[Located]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches(_PARQUET_ROWS))
            for number, record in enumerate(chain.from_iterable(batches), 1):
                yield f"{path}:{number}", {k: v for k, v in record.items() if v is not None}
    except (pyarrow.ArrowException, OSError) as fault:
        raise DataError(f"{path}: not readable as Parquet ({type(fault).__name__})") from None


def _row(where: str, record: Mapping[str, Any]) -> Row:
    if "small" not in record:
        raise DataError(f"{where}: no `small` (how right the small tier was, 0 to 1)")
    large = _share(where, record, "large") if record.get("large") is not None else math.nan
    weight = number(where, record, "weight") if record.get("weight") is not None else 1.0
    if weight < 0:
        raise DataError(f"{where}: weight {weight} is negative")
    if weight and not _WEIGHTS[0] <= weight <= _WEIGHTS[1]:
        raise DataError(f"{where}: weight {weight}: give 0, or {_WEIGHTS[0]:g} to {_WEIGHTS[1]:g}")
    ts = number(where, record, "ts") if record.get("ts") is not None else None
    return Row(
        conversation(where, record),
        _share(where, record, "small"),
        large,
        _name(record, "group"),
        _name(record, "domain"),
        weight,
        ts,
    )


def _name(record: Mapping[str, Any], key: str) -> str | None:
    return None if record.get(key) is None else str(record[key])


def number(where: str, record: Mapping[str, Any], key: str) -> float:
    """Return a finite number of a record."""
    try:
        value = float(record[key])
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: `{key}` is not a number") from None
    if not math.isfinite(value):
        raise DataError(f"{where}: `{key}` is {value}; drop the row or give a number")
    return value


def _share(where: str, record: Mapping[str, Any], key: str) -> float:
    word = str(record.get(key)).strip().lower()
    value = _TRUTH[word] if word in _TRUTH else number(where, record, key)
    if not 0.0 <= value <= 1.0:
        raise DataError(f"{where}: `{key}` is {value}, outside 0 to 1")
    return value


def conversation(where: str, record: Mapping[str, Any]) -> Conversation:
    """Return the prompt or the messages of a record."""
    prompt, messages = record.get("prompt"), record.get("messages")
    if isinstance(prompt, str):
        return prompt
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            raise DataError(f"{where}: `messages` is not JSON") from None
    if isinstance(messages, list) and messages and all(isinstance(m, dict) for m in messages):
        return messages
    raise DataError(f"{where}: neither `prompt` (text) nor `messages` (a list of objects)")
