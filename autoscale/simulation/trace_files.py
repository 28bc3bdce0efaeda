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
from pathlib import Path

import numpy as np

from autoscale.simulation.ledger_folder import read_folder
from autoscale.simulation.trace_json import read_json
from autoscale.simulation.trace_requests import (
    FORMATS,
    BadRow,
    RequestRows,
    TraceOptions,
    format_of,
)
from autoscale.simulation.trace_time import SECONDS, UnclearUnit, choose_unit, iso_s
from autoscale.simulation.traces import Source, Trace, TraceError, rate_trace
from autoscale.simulation.workload import Floats

_GZIP_MAGIC = b"\x1f\x8b"
Row = Mapping[str, str]


def read_trace(path: Path, options: TraceOptions | None = None) -> Trace:
    """The trace in `path`, plain or gzip, with or without a byte-order mark.

    A folder is a ledger of several gateway replicas: its files are read together.
    Raises: TraceError with the line number and what to change.
    """
    options = options or TraceOptions()
    if path.is_dir():
        return read_folder(path, lambda file: read_trace(file, options))
    text = _read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise TraceError(f"{path.name}: the file is empty")
    if first.lstrip()[0] in "{[":
        return read_json(path.name, text, options)
    rows = csv.DictReader(io.StringIO(text.lstrip()))
    table = _Rows(path.name, rows, options)
    columns = table.columns
    if format_of(columns) is not None:
        return table.requests()
    for needed, read in _RATES.items():
        if set(needed) <= set(columns):
            return read(table)
    raise TraceError(f"{path.name}: line 1: {_misfit(columns)}")


def _misfit(columns: list[str]) -> str:
    """Which column is missing from the format that fits best, else all formats."""
    known_columns = [*(known.columns for known in FORMATS), *_RATES]
    best = max(known_columns, key=lambda needed: len(set(needed) & set(columns)))
    missing = [column for column in best if column not in columns]
    if len(missing) < len(best):
        return (
            f"columns {', '.join(columns)} lack {', '.join(missing)} of the format "
            f"{', '.join(best)}"
        )
    known = "; ".join(",".join(needed) for needed in known_columns)
    return f"columns {', '.join(columns)!r} fit no known format; need {known}"


def _read_text(path: Path) -> str:
    """The text of a file, its lines ended by a line feed whatever system wrote it."""
    try:
        raw = path.read_bytes()
        if raw[:2] == _GZIP_MAGIC:
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path.name}: cannot be read ({error})") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{path.name}: not UTF-8 text at byte {error.start}") from None


class _Rows:
    """Rows with their line numbers; conversions that fail name the line and the column."""

    def __init__(self, file: str, rows: csv.DictReader[str], options: TraceOptions) -> None:
        self._file, self._rows, self._options = file, rows, options
        self.lines: list[int] = []

    def __iter__(self) -> Iterator[Row]:
        try:
            for row in self._rows:
                self.lines.append(self._rows.line_num)
                if any(row.pop(None, ())):  # 1,000 without quotes would be read as 1
                    raise self.source.refuse(-1, "more cells than columns")
                yield {(key or "").strip(): value for key, value in row.items()}
        except csv.Error as error:
            raise TraceError(f"{self._file}: line {self._rows.line_num}: {error}") from None

    @property
    def columns(self) -> list[str]:
        """The names in the first line."""
        try:
            return [column.strip() for column in self._rows.fieldnames or []]
        except csv.Error as error:
            raise TraceError(f"{self._file}: line 1: {error}") from None

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

    def instants(self, texts: list[str]) -> Floats:
        """Unix seconds from numbers or ISO dates."""
        try:
            times = np.array([float(text) for text in texts])
        except ValueError:
            times = np.array([iso_s(text) for text in texts])
        else:
            return self._seconds(times)
        if (bad := np.nonzero(~np.isfinite(times))[0]).size:
            raise self.source.refuse(int(bad[0]), f"{texts[bad[0]]!r:.60} is not a time")
        return times

    def _seconds(self, times: Floats) -> Floats:
        try:
            return times * SECONDS[choose_unit(times, "s", self._options.time_unit, True).unit]
        except UnclearUnit as error:
            raise TraceError(f"{self._file}: {error}") from None

    def requests(self) -> Trace:
        """The trace of a table of requests."""
        found = RequestRows(self._file, self._options)
        for row in self:
            try:
                found.add(self.lines[-1], row)
            except BadRow as error:
                raise self.source.refuse(-1, str(error)) from None
        return found.trace()


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
    texts, rates = [], []
    for row in rows:
        texts.append((row.get("timestamp") or "").strip())
        rates.append(rows.number(row, "rate_rps"))
    return rate_trace(rows.source, rows.instants(texts), np.array(rates))


_RATES: dict[tuple[str, ...], Callable[[_Rows], Trace]] = {
    ("t_s", "req_per_min_mid"): _read_azure_rate,
    ("t_s", "client", "rate_rps", "cv"): _read_servegen,
    ("timestamp", "rate_rps"): _read_prometheus_csv,
}
