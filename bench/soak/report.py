"""Makes docs/soak.md from the figures: `python -m bench.soak.report`."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "soak.json"
PAGE = Path(__file__).parents[2] / "docs" / "soak.md"


def write_report(about: dict[str, Any]) -> None:
    """Write the page."""
    ledger = "\n".join(f"| {what} | {count} |" for what, count in about["ledger"].items())
    outcomes = "\n".join(f"| {what} | {count} |" for what, count in about["outcomes"].items())
    wrong = ", ".join(f"{count} x {what}" for what, count in about["wrong"].items()) or "none"
    PAGE.write_text(
        f"""\
# An hour of every kind of client

`python -m bench.soak`, {about["date"]}, {about["machine"]}, no GPU: {about["minutes"]:g} minutes,
{about["per_s"]:g} requests a second, two gateways, two small replicas and a large one on simulated
engines. Outcomes that were not right: {wrong}.

## What processes hold
After the first quarter of the run. Slopes are an hour's growth with a 95% interval (Theil and
Sen); memory is what only that process holds. A gateway keeps a session for half an hour after its
last request (`gateway.session_ttl_s`), so that its table still fills for a quarter of an hour after
the warm-up.

| process | what | first | last | growth an hour | interval |
|---|---|---|---|---|---|
{rows_of(about)}

## The ledger
| | requests |
|---|---|
{ledger}

## What clients got
| kind and status | requests |
|---|---|
{outcomes}
"""
    )


def rows_of(about: dict[str, Any]) -> str:
    """The table's rows."""
    return "\n".join(
        f"| {row['process'].rsplit(' ', 1)[0].strip()} | {row['what'].replace('_mib', ', MiB')} "
        f"| {row['first']:.0f} | {row['last']:.0f} | {row['slope_per_hour']:+.2f} "
        f"| {row['low']:+.2f} to {row['high']:+.2f} |"
        for row in about["rows"]
    )


if __name__ == "__main__":
    write_report(json.loads(RESULTS.read_text()))
