"""`smallfirst report`: what was spent, and what answering small first has saved."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from deployments.accounting.reporting import report as report_of
from deployments.accounting.savings import Prices
from deployments.commands.endpoint import fail
from deployments.commands.replay import show_replay
from deployments.commands.store_options import DEFAULT_CONFIG, Config, Since, Store, day, reading
from deployments.routing.replay import Replay, replay
from deployments.settings.accounts import AccountsConfig
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import first_mistake
from deployments.settings.escalation import Escalation
from deployments.store.database import Database
from deployments.store.reading import BY, lines

console = Console(highlight=False)


class OtherPolicy(BaseModel):
    """What decides, where it is not as configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    escalation: Escalation
    threshold: float = Field(ge=0, le=1)


def report(
    since: Since = None,
    by: Annotated[str | None, typer.Option(help="key, tenant, model or day.")] = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            help="Another policy for the same requests, as target_rate=0.1: a setting of "
            "`escalation`, or threshold; several times.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    store: Store = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """What was spent, and what answering small first has saved, net of its own cost."""
    if by is not None and by not in BY:
        fail(f"--by: one of {', '.join(BY)}")
    since_s = day("--since", since)
    with reading(store, config) as (db, settings):
        policy = _policy(settings, what_if) if what_if else None
        found = report_of(db, since_s, by, Prices(settings.accounts.usd_per_cpu_hour))
        sure_below = settings.answer_check.sure_below
        other = _replayed(db, found, policy, sure_below) if policy else None
    if as_json:
        saved = {"saved_usd": _would_save_usd(found, other)} if other else {}
        would = {"what_if": {**saved, **asdict(other)}} if other else {}
        console.print_json(json.dumps({**found, **would}))
        return
    _show(found, settings.accounts)
    if other:
        console.print(f"\nunder {', '.join(what_if or [])}:", markup=False)
        show_replay(other)
        would_save_usd = _would_save_usd(found, other)
        if would_save_usd is not None:
            console.print(f"saved would be {would_save_usd:,.6f} USD")


def _policy(settings: AppConfig, changes: list[str]) -> OtherPolicy:
    """The configured policy with these changes; ends the command where they make none."""
    escalation = settings.escalation.model_dump()
    threshold: Any = settings.classifier.threshold
    for change in changes:
        name, equals, text = change.partition("=")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if equals and name == "threshold":
            threshold = value
        elif equals and name in escalation:
            escalation[name] = value
        else:
            fail(f"--what-if: {change}: NAME=VALUE, of threshold, {', '.join(escalation)}")
    try:
        return OtherPolicy.model_validate({"escalation": escalation, "threshold": threshold})
    except ValidationError as error:
        fail(f"--what-if: {first_mistake(error)}")


def _replayed(
    db: Database, found: dict[str, Any], policy: OtherPolicy, sure_below: float
) -> Replay:
    """The report's own requests under another policy, as far as their records are kept."""
    start_s = datetime.strptime(found["since"], "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    records = map(json.loads, lines(db, start_s, time.time() + 1))
    return replay(records, policy.escalation, policy.threshold, sure_below)


def _would_save_usd(found: dict[str, Any], other: Replay) -> float | None:
    """What would have been saved; None where nothing tells what it would have cost."""
    if other.would_cost_usd is None:
        return None
    # Scoring, idle GPUs and the cost had all gone large stay as they are.
    saved_usd: float = found["total"]["saved_usd"]
    return saved_usd - (other.would_cost_usd - other.cost_usd)


def _show(found: dict[str, Any], accounts: AccountsConfig) -> None:
    total = found["total"]
    table = Table("USD", "", title=f"since {found['since']} (UTC), {total['requests']} requests")
    for name, text in (
        ("cost_usd", "answers and tries"),
        ("of_it_wasted_tries_usd", "  of it tries that nobody got"),
        ("classifier_usd", "scoring"),
        ("idle_gpu_usd", "own GPUs, idle"),
        ("net_cost_usd", "net cost"),
        ("all_large_usd", "had all gone large"),
        ("saved_usd", "saved"),
    ):
        table.add_row(f"{total[name]:,.6f}", text)
    console.print(table)
    _show_shares(total, accounts)
    for row in found.get("rows", ()):
        name = row[found["by"]] or "(none)"
        console.print(
            f"{name:<40} {row['requests']:>9} requests {row['net_cost_usd']:>14,.6f} USD "
            f"{row['saved_usd']:>14,.6f} saved",
            markup=False,
        )


def _show_shares(total: dict[str, Any], accounts: AccountsConfig) -> None:
    share = total["saved_share"]
    if share is not None:
        between = ""
        if "saved_usd_low" in total:
            low, high = total["saved_usd_low"], total["saved_usd_high"]
            between = f" (95%: {low:,.2f} to {high:,.2f} USD)"
        console.print(f"saved {share:.1%} of the cost had all gone large{between}")
    length = total["large_answer_length"]
    if length["low"] is None:
        console.print(
            f"large answers are taken as long as small ones: {length['pairs']} requests were "
            "answered by both, 30 are needed to say more"
        )
    if not accounts.usd_per_cpu_hour:
        console.print("scoring is left out: set accounts.usd_per_cpu_hour")
