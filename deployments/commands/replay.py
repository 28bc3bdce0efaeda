"""`smallfirst route replay`: a ledger under another policy."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from deployments.commands.endpoint import fail
from deployments.routing.replay import Replay, replay
from deployments.settings.config_mistake import first_mistake
from deployments.settings.escalation import Escalation

console = Console(highlight=False)
SHOWN = 20
Number = Annotated[float, Field(allow_inf_nan=False)]
# Beyond them a sum is no number any more.
Count = Annotated[int, Field(ge=0, le=2**63)]
Usd = Annotated[float, Field(ge=0, le=1e12)]


class _Tokens(BaseModel):
    """What a line and its attempts say of tokens."""

    model_config = ConfigDict(strict=True)

    tier: str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cost_nano_usd: Count | None = None


class _Line(_Tokens):
    """What a replay reads of a line of the ledger (docs/ledger.md)."""

    arrived_s: Number | None = None
    asked_model: str | None = None
    cause: str | None = None
    score: Number | None = None
    answer_score: Number | None = None
    cost_usd: Usd | None = None
    attempts: list[_Tokens] | None = None


def replay_ledger(
    ledger: Path, settings: dict[str, Any], threshold: float, sure_below: float, as_json: bool
) -> None:
    """Show what the policy would have done with the ledger's requests."""
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        config = Escalation.model_validate(given)
    except ValidationError as error:
        fail(f"escalation: {first_mistake(error)}")
    torn: list[int] = []
    try:
        lines = list(_lines(ledger, torn))
    except OSError as error:
        fail(f"--ledger: {ledger}: {error.strerror}")
    if not lines:
        fail(
            f"--ledger: {ledger}: no line of a ledger in it, {len(torn)} that cannot be read; give "
            "a file or folder of JSON lines: gateway.ledger_dir, or `smallfirst ledger export`"
        )
    done = replay(lines, config, threshold, sure_below)
    if as_json:
        console.print_json(json.dumps({**asdict(done), "unreadable_lines": len(torn)}))
        return
    show_replay(done, len(torn))


def _lines(ledger: Path, torn: list[int]) -> Iterator[dict[str, Any]]:
    """The ledger's lines; the numbers of those that cannot be read go to `torn`."""
    files = sorted(ledger.glob("*.jsonl")) if ledger.is_dir() else [ledger]
    for file in files:
        with file.open(encoding="utf-8-sig", errors="replace") as text:
            for number, line in enumerate(text, 1):
                try:
                    parsed = json.loads(line)
                    _Line.model_validate(parsed)
                    yield parsed
                except (ValueError, RecursionError):
                    torn.append(number)


def show_replay(done: Replay, torn: int = 0) -> None:
    """What was, what would have been, and the first of the requests that would have moved."""
    table = Table("", "was", "would be")
    table.add_row("large", _share(done.large, done), _share(done.would_be_large, done))
    would_cost = done.would_cost_usd
    would_cost_usd = "unknown" if would_cost is None else f"{would_cost:.6f}"
    table.add_row("cost, USD", f"{done.cost_usd:.6f}", would_cost_usd)
    console.print(table)
    if would_cost is None:
        console.print(
            "No attempt in this ledger tells what a token costs at the tier that would answer: "
            "replay one in which both tiers have answered",
            soft_wrap=True,
        )
    console.print(
        f"{done.requests} requests, {done.left_open} of them decided by quality; "
        f"threshold at the end {done.threshold:.3f}; {len(done.moved)} would move"
        + (f"; {torn} lines cannot be read" if torn else ""),
        soft_wrap=True,
    )
    for one in done.moved[:SHOWN]:
        score = "-" if one.score is None else f"{one.score:.3f}"
        console.print(
            f"  {one.request_id}: {one.tier} -> {one.would_be} ({one.cause}, score {score})",
            markup=False,
        )
    if len(done.moved) > SHOWN:
        console.print(f"  and {len(done.moved) - SHOWN} more (--json lists all)")


def _share(large: int, done: Replay) -> str:
    return f"{large} ({large / done.requests:.1%})" if done.requests else "0"
