"""Records as JSON lines or Parquet."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from deployments.commands.endpoint import fail

# Lines of one Parquet row group.
BATCH = 10_000


def write_out(found: Iterator[str]) -> int:
    """Write lines to standard output; returns how many."""
    try:
        count = _write_lines(found, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read has read enough: the command ends in silence
    except OSError as error:
        fail(f"standard output: {error.strerror}")
    return count


def write_file(found: Iterator[str], out: Path, format_: str) -> int:
    """Write it whole or not at all: a program may wait for the file. A device or a pipe is written
    as it comes."""
    plain = out.is_file() or not out.exists()
    new = out.with_name(out.name + ".new") if plain else out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if format_ == "parquet":
            count = _write_parquet(found, new)
        else:
            with new.open("w", encoding="utf-8") as stream:
                count = _write_lines(found, stream)
        if plain:
            new.replace(out)
    except OSError as error:
        fail(f"{out}: {error.strerror or error}")
    finally:
        if plain:
            with suppress(OSError):
                new.unlink(missing_ok=True)
    return count


def _write_lines(found: Iterator[str], stream: TextIO) -> int:
    count = 0
    for line in found:
        stream.write(line + "\n")
        count += 1
    return count


def _write_parquet(found: Iterator[str], path: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        fail("--format parquet needs pyarrow: pip install pyarrow, or export jsonl")
    count, writer, batch = 0, None, list[str]()

    def write() -> Any:
        # What attempts hold differs from record to record: it stays JSON in one column.
        rows = [{**row, "attempts": json.dumps(row["attempts"])} for row in map(json.loads, batch)]
        columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
        table = pa.table(columns, schema=_schema(pa))
        opened = writer or pq.ParquetWriter(path, table.schema)
        opened.write_table(table)
        return opened

    for line in found:
        batch.append(line)
        count += 1
        if len(batch) == BATCH:
            writer = write()
            batch.clear()
    writer = write()
    writer.close()
    return count


Kind = Literal["string", "int64", "float64", "bool_"]
COLUMNS: dict[str, Kind] = {
    "time_s": "float64",
    "arrived_s": "float64",
    "request_id": "string",
    "record_id": "string",
    "key": "string",
    "tenant": "string",
    "endpoint": "string",
    "stream": "bool_",
    "asked_model": "string",
    "tier": "string",
    "model": "string",
    "cause": "string",
    "score": "float64",
    "threshold": "float64",
    "p_small": "float64",
    "p_large": "float64",
    "gain": "float64",
    "familiar": "float64",
    "artifact": "string",
    "answer_score": "float64",
    "held_tokens": "int64",
    "hold_ms": "float64",
    "wasted_completion_tokens": "int64",
    "attempts": "string",
    "outcome": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
    "cost_usd": "float64",
    "cost_nano_usd": "int64",
    "score_ms": "float64",
    "ttft_ms": "float64",
    "total_ms": "float64",
    "config": "string",
}


def _schema(pa: Any) -> Any:
    """Their types, whatever a batch happens to hold."""
    return pa.schema([(name, getattr(pa, kind)()) for name, kind in COLUMNS.items()])
