"""`smallfirst autoscale explain`, `why-not` and `replay`: the journal, read for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from autoscale.console import JsonFlag, clear_errors, screen
from autoscale.journal import DEFAULT_PATH

Journal = Annotated[Path, typer.Option("--journal", help="The policy's journal_path.")]
JOURNAL = Path(DEFAULT_PATH)
Deployment = Annotated[str | None, typer.Option("--deployment", help="Only this deployment.")]
At = Annotated[
    str | None, typer.Option("--at", help="Unix seconds or ISO time (UTC); the last if absent.")
]


def add_commands(app: typer.Typer) -> None:
    """Mount the commands of this module."""
    app.command()(explain)
    app.command("why-not")(why_not)
    app.command()(replay)


def explain(
    journal: Journal = JOURNAL,
    at: At = None,
    deployment: Deployment = None,
    as_json: JsonFlag = False,
) -> None:
    """Why the replica count was what it was at a time, and what would have changed it."""
    with clear_errors():
        from dataclasses import asdict

        from autoscale.explain import entry_at, explanation

        entry = entry_at(journal, _time(at), deployment)
        lines = explanation(entry)
        if as_json:
            print(json.dumps(asdict(entry) | {"explanation": lines}, default=list))
            return
        when = datetime.fromtimestamp(entry.observation.time_s, UTC)
        screen.print(f"{when:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
        for line in lines:
            screen.print(line, highlight=False, soft_wrap=True)


def why_not(
    replicas: Annotated[int, typer.Argument(min=0)],
    journal: Journal = JOURNAL,
    at: At = None,
    deployment: Deployment = None,
) -> None:
    """What spoke against another number of replicas."""
    with clear_errors():
        from autoscale.explain import entry_at
        from autoscale.explain import why_not as reasons_against

        entry = entry_at(journal, _time(at), deployment)
        screen.print(f"Why not {replicas} instead of {entry.replicas}:", highlight=False)
        for reason in reasons_against(entry, replicas):
            screen.print(f"- {reason}", highlight=False, soft_wrap=True)


def replay(journal: Journal = JOURNAL) -> None:
    """Decide every recorded line again; fails if one decision differs."""
    with clear_errors():
        from autoscale.journal_entries import read_journal

        total, different = 0, []
        for number, entry in enumerate(read_journal(journal), 1):
            total += 1
            if not entry.replays():
                different.append(number)
        if different:
            raise ValueError(
                f"{len(different)} of {total} differ, the first in line {different[0]}"
            )
        screen.print(f"{total} decisions replayed, all identical", highlight=False)


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--at {text!r}: write Unix seconds or 2026-01-31T12:00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
