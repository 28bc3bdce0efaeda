"""Reads traffic traces of every usual format, told apart by their columns.

Bad rows are refused with file, line and mend; nothing is guessed silently.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from autoscale.simulation.trace_json import read_json
from autoscale.simulation.traces import Source, Trace, TraceError, rate_trace, request_trace

_GZIP_MAGIC = b"\x1f\x8b"
Row = Mapping[str, str]


def read_trace(path: Path) -> Trace:
    """The trace in `path`, plain or gzip, with or without a byte-order mark.

    Raises: TraceError with the line number and what to change.
    """
    text = _read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise TraceError(f"{path.name}: the file is empty")
    if first.lstrip()[0] in "{[":
        return read_json(path.name, text)
    rows = csv.DictReader(io.StringIO(text.lstrip()))
    columns = [column.strip() for column in rows.fieldnames or []]
    for needed, read in _FORMATS:
        if set(needed) <= set(columns):
            return read(_Rows(path.name, rows))
    raise TraceError(f"{path.name}: line 1: {_misfit(columns)}")


def _misfit(columns: list[str]) -> str:
    """Which column is missing from the format that fits best, else all formats."""
    best = max((needed for needed, _ in _FORMATS), key=lambda f: len(set(f) & set(columns)))
    missing = [column for column in best if column not in columns]
    if len(missing) < len(best):
        return (
            f"columns {', '.join(columns)} lack {', '.join(missing)} of the format "
            f"{', '.join(best)}"
        )
    known = "; ".join(",".join(needed) for needed, _ in _FORMATS)
    return f"columns {', '.join(columns)!r} fit no known format; need {known}"


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == _GZIP_MAGIC:
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: a folder; name one file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path.name}: cannot be read ({error})") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{path.name}: not UTF-8 text at byte {error.start}") from None


class _Rows:
    """Rows with their line numbers; conversions that fail name the line and the column."""

    def __init__(self, file: str, rows: csv.DictReader[str]) -> None:
        self._file, self._rows = file, rows
        self.lines: list[int] = []

    def __iter__(self) -> Iterator[Row]:
        try:
            for row in self._rows:
                self.lines.append(self._rows.line_num)
                yield {(key or "").strip(): value for key, value in row.items()}
        except csv.Error as error:
            raise TraceError(f"{self._file}: line {self._rows.line_num}: {error}") from None

    @property
    def source(self) -> Source:
        """Where the rows read so far came from."""
        return Source(self._file, self.lines)

    def number(self, row: Row, column: str) -> float:
        """A finite, non-negative number."""
        text = row.get(column)
        try:
            value = float(text) if text is not None else math.nan
        except (TypeError, ValueError):
            raise self.source.refuse(-1, f"{column}={text!r} is not a number") from None
        if not math.isfinite(value) or value < 0.0:
            raise self.source.refuse(-1, f"{column}={text!r} is missing, negative or not finite")
        return value

    def instant(self, row: Row, column: str) -> float:
        """Unix seconds from a number or an ISO date with up to nanoseconds; UTC if unsaid."""
        text = (row.get(column) or "").strip()
        try:
            value = float(text)
        except ValueError:
            value = _iso_s(text)
        if not math.isfinite(value) or value < 0.0:
            raise self.source.refuse(-1, f"{column}={text!r} is not a time")
        return value


def _iso_s(text: str) -> float:
    """Unix seconds, NaN if it is no date. Python reads no more than six decimals by itself."""
    whole, _, rest = text.replace("T", " ").partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction, zone = rest[:digits], rest[digits:]
    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:
        return math.nan
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)


def _read_requests(time: str, prompt: str, completion: str) -> Callable[[_Rows], Trace]:
    def read(rows: _Rows) -> Trace:
        times, prompts, completions = [], [], []
        for row in rows:
            times.append(rows.instant(row, time))
            prompts.append(rows.number(row, prompt))
            completions.append(rows.number(row, completion))
        return request_trace(rows.source, np.array(times), np.array(prompts), np.array(completions))

    return read


def _read_azure_rate(rows: _Rows) -> Trace:
    times, rates = [], []
    for row in rows:
        times.append(rows.number(row, "t_s"))
        rates.append(rows.number(row, "req_per_min_mid") / 60.0)
    return rate_trace(rows.source, np.array(times), np.array(rates))


def _read_servegen(rows: _Rows) -> Trace:
    clients: dict[str, int] = {}
    times, rates, cvs, who = [], [], [], []
    for row in rows:
        times.append(rows.number(row, "t_s"))
        rates.append(rows.number(row, "rate_rps"))
        cvs.append(rows.number(row, "cv") if row.get("cv") else 1.0)
        who.append(float(clients.setdefault(str(row.get("client")), len(clients))))
    return rate_trace(rows.source, np.array(times), np.array(rates), np.array(cvs), np.array(who))


def _read_prometheus_csv(rows: _Rows) -> Trace:
    times, rates = [], []
    for row in rows:
        times.append(rows.instant(row, "timestamp"))
        rates.append(rows.number(row, "rate_rps"))
    return rate_trace(rows.source, np.array(times), np.array(rates))


_REQUESTS = (
    ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),  # Azure 2023 and 2024
    ("Timestamp", "Request tokens", "Response tokens"),  # BurstGPT
    ("time_s", "prompt_tokens", "completion_tokens"),  # our ledger as a table
)
_FORMATS: tuple[tuple[tuple[str, ...], Callable[[_Rows], Trace]], ...] = (
    *((columns, _read_requests(*columns)) for columns in _REQUESTS),
    (("t_s", "req_per_min_mid"), _read_azure_rate),
    (("t_s", "client", "rate_rps", "cv"), _read_servegen),
    (("timestamp", "rate_rps"), _read_prometheus_csv),
)
