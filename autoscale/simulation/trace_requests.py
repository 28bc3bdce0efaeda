"""Requests from rows of any published format: their arrival and their tokens.

Rows of our own ledger say when a request ended, by which tier and how: the arrival is that time
less its duration, and only answered requests of the tier that is sized count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from autoscale.simulation.trace_time import (
    SECONDS,
    TimeUnit,
    UnclearUnit,
    choose_unit,
    iso_s,
)
from autoscale.simulation.traces import RequestTrace, Source, TraceError, request_trace
from autoscale.simulation.workload import Floats

Row = Mapping[str, Any]
# The column that names its unit; in lines of the ledger, which have `total_ms`, the end.
LEDGER_TIME = "time_s"
NEED = "need time_s (or timestamp) with prompt_tokens and completion_tokens"


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What the data cannot say: the unit of ambiguous times, and the tier whose replicas count."""

    time_unit: TimeUnit | None = None
    tier: str = "small"


class RequestFormat(NamedTuple):
    """The columns of one published format, and the unit in which it counts time."""

    time: str
    prompt: str
    completion: str
    unit: TimeUnit = "s"
    # A column that the format has beside those, if another has the same ones.
    mark: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that tell the format."""
        return (self.time, self.prompt, self.completion, *([self.mark] if self.mark else []))


FORMATS = (
    RequestFormat("TIMESTAMP", "ContextTokens", "GeneratedTokens"),  # Azure 2023 and 2024
    RequestFormat("Timestamp", "Request tokens", "Response tokens"),  # BurstGPT
    RequestFormat(LEDGER_TIME, "prompt_tokens", "completion_tokens"),  # our ledger
    RequestFormat("timestamp", "prompt_tokens", "completion_tokens"),
    RequestFormat("timestamp", "input_length", "output_length", mark="chat_id"),  # Qwen-Bailian
    RequestFormat("timestamp", "input_length", "output_length", "ms"),  # Mooncake
)


def format_of(columns: Iterable[str]) -> RequestFormat | None:
    """The format of rows with these columns."""
    present = set(columns)
    return next((known for known in FORMATS if set(known.columns) <= present), None)


class BadRow(ValueError):
    """One row is no request; the message says why."""


@dataclass(slots=True)
class RequestRows:
    """Requests gathered row by row from one file."""

    file: str
    options: TraceOptions
    lines: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    prompts: list[float] = field(default_factory=list)
    completions: list[float] = field(default_factory=list)
    # Seconds from arrival to end, where the row's time is the end.
    durations: list[float] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)
    # Which times were dates; the others are numbers.
    dated: list[bool] = field(default_factory=list)
    _format: RequestFormat | None = None

    def add(self, line: int, row: Row, known: RequestFormat | None = None) -> None:
        """Take one row in, or count why it is no request to size for. Raises: BadRow."""
        known = known or format_of(row)
        if known is None:
            raise BadRow(NEED)
        if self._format not in (None, known):
            raise BadRow(f"its columns are not those of the lines before; {NEED}")
        if known.time == LEDGER_TIME and (reason := self._other(row)):
            self.left_out[reason] += 1
            return
        time, dated = _time(row, known.time)
        values = _number(row, known.prompt), _number(row, known.completion)
        ended = "total_ms" in row and known.time == LEDGER_TIME
        self.durations.append(_number(row, "total_ms") / 1e3 if ended else 0.0)
        self._format = known
        self.lines.append(line)
        self.times.append(time)
        self.dated.append(dated)
        self.prompts.append(values[0])
        self.completions.append(values[1])

    def _other(self, row: Row) -> str | None:
        """Why a row of the ledger is not of the traffic that is sized."""
        if "outcome" in row and row["outcome"] != "ok":
            return "not answered"
        if "tier" in row and row["tier"] != self.options.tier:
            return f"of the tier {row['tier']}"
        return None

    def trace(self) -> RequestTrace:
        """The requests as a trace; what was left out and how times were read is noted.

        Raises: TraceError if no request is left, or if the unit of the times is unclear.
        """
        if not self.times:
            raise TraceError(f"{self.file}: {self._nothing()}")
        times, notes = self._seconds()
        arrivals = times - np.array(self.durations)
        order = np.arange(len(times))
        if any(self.durations):  # a ledger is in the order of ends
            order = np.argsort(arrivals, kind="stable")
        source = Source(self.file, [self.lines[row] for row in order])
        prompts, completions = np.array(self.prompts), np.array(self.completions)
        found = request_trace(source, arrivals[order], prompts[order], completions[order])
        return replace(found, notes=(*notes, *found.notes))

    def _seconds(self) -> tuple[Floats, list[str]]:
        assert self._format is not None
        times = np.array(self.times)
        notes = self._counted()
        if all(self.dated):
            return times, notes
        if any(self.dated):
            line = self.lines[self.dated.index(not self.dated[0])]
            kinds = ("a number", "a date") if self.dated[0] else ("a date", "a number")
            raise TraceError(
                f"{self.file}: line {line}: its time is {kinds[0]}, that of the lines before "
                f"{kinds[1]}; write all of them alike"
            )
        try:
            choice = choose_unit(
                times,
                self._format.unit,
                self.options.time_unit,
                named=self._format.time == LEDGER_TIME,
            )
        except UnclearUnit as error:
            raise TraceError(f"{self.file}: {error}") from None
        if choice.why:
            notes.append(f"times: {choice.why}")
        return times * SECONDS[choice.unit], notes

    def _counted(self) -> list[str]:
        notes = [f"{count} lines left out: {why}" for why, count in sorted(self.left_out.items())]
        if self.bad:
            line, why = self.bad[0]
            notes.append(f"{len(self.bad)} bad lines left out, the first in line {line}: {why}")
        return notes

    def _nothing(self) -> str:
        if self.bad and not self.left_out:
            line, why = self.bad[0]
            return f"line {line}: {why}"
        if self.left_out:
            counted = "; ".join(self._counted())
            return f"no answered request of the tier {self.options.tier!r}: {counted}"
        return "the trace has a header but no request"


def _time(row: Row, column: str) -> tuple[float, bool]:
    """A time, and whether it is a date."""
    raw = row.get(column)
    try:
        return _number(row, column), False
    except BadRow:
        seconds = iso_s(raw) if isinstance(raw, str) else math.nan
        if not math.isfinite(seconds) or seconds < 0.0:
            raise BadRow(f"{column}={raw!r:.60} is not a time") from None
        return seconds, True


def _number(row: Row, column: str) -> float:
    """A finite number of at least 0."""
    raw = row.get(column)
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise BadRow(f"{column}={raw!r:.60} is not a number")
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        raise BadRow(f"{column}={raw!r:.60} is not a number") from None
    if not math.isfinite(value) or value < 0.0:
        raise BadRow(f"{column}={raw!r:.60} is missing, negative or not finite")
    return value
