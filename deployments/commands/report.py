"""`smallfirst report`: what was spent, and what answering small first has saved."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deployments.accounting.reporting import report as report_of
from deployments.accounting.savings import Prices
from deployments.commands.endpoint import fail
from deployments.commands.store_options import DEFAULT_CONFIG, Config, Since, Store, day, reading
from deployments.settings.accounts import AccountsConfig
from deployments.store.reading import BY

console = Console(highlight=False)


def report(
    since: Since = None,
    by: Annotated[str | None, typer.Option(help="key, tenant, model or day.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    store: Store = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """What was spent, and what answering small first has saved, net of its own cost."""
    if by is not None and by not in BY:
        fail(f"--by: one of {', '.join(BY)}")
    since_s = day("--since", since)
    with reading(store, config) as (db, accounts):
        found = report_of(db, since_s, by, Prices(accounts.usd_per_cpu_hour))
    if as_json:
        console.print_json(json.dumps(found))
        return
    _show(found, accounts)


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
    for row in found.get("rows", ()):
        name = row[found["by"]] or "(none)"
        console.print(
            f"{name:<40} {row['requests']:>9} requests {row['net_cost_usd']:>14,.6f} USD "
            f"{row['saved_usd']:>14,.6f} saved",
            markup=False,
        )
