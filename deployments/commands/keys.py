"""`smallfirst keys`: make, list, rotate and revoke API keys of a running endpoint."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deployments.commands.endpoint import (
    DEFAULT_URL,
    CaFile,
    Url,
    endpoint_with_key,
    fail,
    unreachable,
)
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import admin_key

console = Console(highlight=False)
TIMEOUT_S = 35.0
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

app = typer.Typer(help="API keys: who may ask, for what, and for how much.", no_args_is_help=True)

AdminKeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File whose first key administers; else SMALLFIRST_ADMIN_KEYS_FILE or _KEYS.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
KeyId = Annotated[str, typer.Argument(help="The key's public id: its part after 'sf-'.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for; no two keys share one.")],
    tenant: Annotated[str | None, typer.Option(help="Whose it is; sums in reports.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A name it may ask for, 'auto' too; all if none.")
    ] = None,
    tier: Annotated[list[str] | None, typer.Option(help="small or large; both if none.")] = None,
    local_only: Annotated[bool, typer.Option(help="Nothing of it leaves the cluster.")] = False,
    requests_per_minute: Annotated[int | None, typer.Option(help="Over all gateways.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Prompt and answer.")] = None,
    max_parallel: Annotated[int | None, typer.Option(help="Open at a time.")] = None,
    usd_hour: Annotated[float | None, typer.Option(help="Hard cap an hour (UTC).")] = None,
    usd_day: Annotated[float | None, typer.Option(help="Hard cap a day.")] = None,
    usd_month: Annotated[float | None, typer.Option(help="Hard cap a month.")] = None,
    on_exceed: Annotated[str, typer.Option(help="reject, or small_only.")] = "reject",
    unaccounted: Annotated[
        str | None,
        typer.Option(help="While nobody can check: allow, or refuse; refuse if a cap binds."),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends: 90d, 12h, 30m.")] = None,
    url: Url = DEFAULT_URL,
    admin_key_file: AdminKeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Make a key; its text is shown now and never again."""
    caps = {"hour": usd_hour, "day": usd_day, "month": usd_month}
    limits: dict[str, Any] = {
        "tenant": tenant,
        "models": model or None,
        "tiers": tier or ["small", "large"],
        "local_only": local_only,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "max_parallel": max_parallel,
        "usd": {period: cap for period, cap in caps.items() if cap is not None},
        "on_exceed": on_exceed,
        "unaccounted": unaccounted,
    }
    body = {"name": name, "limits": limits, "expires_in_s": _seconds("--expires", expires)}
    key = _ask((url, admin_key_file, ca_file), "POST", "", body)
    _say_secret(key, as_json)


@app.command("list")
def list_keys(
    url: Url = DEFAULT_URL,
    admin_key_file: AdminKeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """All keys, without their secrets."""
    listed = _ask((url, admin_key_file, ca_file), "GET", "")
    if as_json:
        console.print_json(json.dumps(listed))
        return
    table = Table("id", "name", "tenant", "status", "may", "expires")
    for key in listed["data"]:
        limits = key["limits"]
        table.add_row(
            key["key_id"],
            key["name"],
            limits["tenant"] or "",
            key["status"],
            _may(limits),
            _date(key["expires_s"]),
        )
    console.print(table)


@app.command()
def show(
    key_id: KeyId,
    url: Url = DEFAULT_URL,
    admin_key_file: AdminKeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """One key, and what is spent of its caps."""
    key = _ask((url, admin_key_file, ca_file), "GET", f"/{_plain(key_id)}")
    if as_json:
        console.print_json(json.dumps(key))
        return
    console.print(f"{key['key_id']}  {key['name']}  {key['status']}", markup=False)
    console.print(_may(key["limits"]) or "no limits", markup=False)
    table = Table("cap of", "window", "USD", "spent", "held", "until")
    for cap in key["standing"]:
        amounts = [f"{cap[name]:.6f}" for name in ("cap_usd", "settled_usd", "held_usd")]
        table.add_row(cap["scope"], cap["period"], *amounts, _date(cap["ends_s"]))
    console.print(table)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(help="How long the old secret still opens.")] = "24h",
    url: Url = DEFAULT_URL,
    admin_key_file: AdminKeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Give a key a new secret; the old one opens for a while beside it."""
    body = {"overlap_s": _seconds("--overlap", overlap)}
    at = (url, admin_key_file, ca_file)
    _say_secret(_ask(at, "POST", f"/{_plain(key_id)}/rotate", body), as_json)


@app.command()
def revoke(
    key_id: KeyId,
    url: Url = DEFAULT_URL,
    admin_key_file: AdminKeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Shut a key out; every gateway refuses it within a second."""
    key = _ask((url, admin_key_file, ca_file), "POST", f"/{_plain(key_id)}/revoke", {})
    if as_json:
        console.print_json(json.dumps(key))
    else:
        console.print(f"{key['key_id']} ({key['name']}) opens nothing any more", markup=False)


def _ask(at: tuple[str, Path | None, Path | None], method: str, path: str, body: Any = None) -> Any:
    url, key_file, ca_file = at
    try:
        reached = endpoint_with_key(url, admin_key(key_file), ca_file)
        with reached.client(TIMEOUT_S) as client:
            response = client.request(method, f"/admin/keys{path}", json=body)
        document = response.json()
        if response.is_error:
            message = document["error"]["message"]
            if response.status_code == 404 and document["error"].get("code") == "unknown_url":
                message = "its administration is off: start it with SMALLFIRST_ADMIN_KEYS_FILE"
            fail(f"{response.status_code}: {message}")
    except ConfigError as error:
        fail(str(error))
    except httpx.TransportError as error:
        fail(unreachable(url, error))
    except (ValueError, LookupError, TypeError):
        fail(f"{url}: this is not a smallfirst endpoint")
    return document


def _say_secret(key: Any, as_json: bool) -> None:
    if as_json:
        console.print_json(json.dumps(key))
        return
    console.print(f"{key['key_id']}  {key['name']}; keep its text, nobody has it:", markup=False)
    console.print(key["api_key"], markup=False, soft_wrap=True)


def _seconds(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        fail(f"{option}: a number with s, m, h or d, as 90d")
    return float(found[1]) * SECONDS[found[2]]


def _plain(key_id: str) -> str:
    """The public id, also where somebody gives the whole key: its secret is sent nowhere."""
    found = re.fullmatch(r"(?:sf-)?([0-9a-z]{12})(?:-.*)?", key_id.strip())
    if not found:
        fail("KEY_ID: 12 letters and digits, as `smallfirst keys list` shows them")
    return found[1]


def _may(limits: dict[str, Any]) -> str:
    said = [f"${cap:g}/{period}" for period, cap in limits["usd"].items() if cap is not None]
    for name, short in (
        ("requests_per_minute", "requests/min"),
        ("tokens_per_minute", "tokens/min"),
        ("max_parallel", "at a time"),
    ):
        said += [f"{limits[name]} {short}"] if limits[name] else []
    said += [limits["on_exceed"]] if limits["on_exceed"] != "reject" else []
    said += ["local only"] if limits["local_only"] else []
    said += ["+".join(sorted(limits["tiers"]))] if len(limits["tiers"]) == 1 else []
    said += sorted(limits["models"] or [])
    return ", ".join(said)


def _date(at_s: float | None) -> str:
    return "" if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"
