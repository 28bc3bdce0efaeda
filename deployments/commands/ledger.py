"""`smallfirst ledger`: what the store of the accounts holds, read only."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.commands.endpoint import fail
from deployments.commands.ledger_files import write_file, write_out
from deployments.commands.store_options import DEFAULT_CONFIG, Config, Since, Store, day, reading
from deployments.store.balances import differences
from deployments.store.reading import lines

console = Console(highlight=False)

app = typer.Typer(help="The ledger: one record a request.", no_args_is_help=True)


@app.command()
def export(
    out: Annotated[
        Path | None, typer.Option(help="File to write; standard output if none.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="jsonl or parquet.")] = "jsonl",
    since: Since = None,
    until: Since = None,
    store: Store = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Write records out, oldest first: JSON lines (docs/ledger.md), or Parquet."""
    if format_ not in ("jsonl", "parquet"):
        fail("--format: jsonl or parquet")
    if format_ == "parquet" and out is None:
        fail("--format parquet: name a file with --out")
    bounds = (day("--since", since) or 0.0, day("--until", until) or time.time() + 1)
    with reading(store, config) as (db, _):
        found = lines(db, *bounds)
        count = write_out(found) if out is None else write_file(found, out, format_)
    Console(stderr=True, highlight=False).print(f"{count} records")


@app.command()
def check(store: Store = None, config: Config = DEFAULT_CONFIG) -> None:
    """Whether every balance is the sum of the ledger's records."""
    with reading(store, config) as (db, _):
        found = list(differences(db))
    for window, balance, total in found[:20]:
        console.print(
            f"{window.scope} {window.period} {window.start}: balance {balance}, ledger {total} "
            "nano-USD",
            markup=False,
        )
    if found:
        fail(f"{len(found)} balances are not the sum of their records")
    console.print("every balance is the sum of its records")
