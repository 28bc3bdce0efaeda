"""Our access ledger as a folder: one file for each gateway replica, of one stream of requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from autoscale.simulation.traces import RequestTrace, Trace, TraceError


def ledger_files(folder: Path) -> list[Path]:
    """The ledger's files in `folder`, also rotated and compressed ones.

    A file that stands there compressed as well (gzip at work, or told to keep it) counts once.
    Raises: TraceError if there are none.
    """
    files = sorted(
        path for path in folder.iterdir() if path.is_file() and ".jsonl" in path.suffixes
    )
    if not files:
        raise TraceError(f"{folder}: a folder without .jsonl files; name the ledger's, or one file")
    return [file for file in files if file.suffix != ".gz" or file.with_suffix("") not in files]


def read_folder(folder: Path, read: Callable[[Path], Trace]) -> RequestTrace:
    """One trace of all files by the clock; the span of each is noted, and what was not usable.

    Raises: TraceError if no file holds requests, or if they have no time of the day in common.
    """
    requests: list[RequestTrace] = []
    notes: list[str] = []
    failed: TraceError | None = None
    for file in ledger_files(folder):
        try:
            trace = read(file)
        except TraceError as error:
            failed = error
            notes.append(str(error).replace(file.name, _stem(file), 1))
            continue
        if not isinstance(trace, RequestTrace) or not trace.clock_s:
            raise TraceError(f"{folder.name}: {file.name} is no ledger; name one trace by its file")
        requests.append(trace)
        notes += [_span(trace), *(f"{trace.name}: {note}" for note in trace.notes)]
    if not requests:
        raise failed or TraceError(f"{folder.name}: holds no request")
    return _merged(folder.name, requests, tuple(notes))


def _merged(name: str, requests: list[RequestTrace], notes: tuple[str, ...]) -> RequestTrace:
    times = np.concatenate([trace.clock_s + trace.time_s for trace in requests])
    order = np.argsort(times, kind="stable")
    start_s = float(times[order[0]])
    return RequestTrace(
        name,
        times[order] - start_s,
        np.concatenate([trace.prompt_tokens for trace in requests])[order],
        np.concatenate([trace.completion_tokens for trace in requests])[order],
        start_s,
        notes,
    )


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").rsplit(".", 1)[0]


def _span(trace: RequestTrace) -> str:
    first = datetime.fromtimestamp(trace.clock_s, UTC)
    last = datetime.fromtimestamp(trace.clock_s + float(trace.time_s[-1]), UTC)
    span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    return f"{trace.name}: {len(trace.time_s)} requests, {span}"
