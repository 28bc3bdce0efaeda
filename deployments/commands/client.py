"""The commands that talk to a running endpoint: `route`, `chat`, `status`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deployments.commands.endpoint import (
    DEFAULT_URL,
    CaFile,
    Endpoint,
    KeyFile,
    Url,
    endpoint_or_exit,
    fail,
    unreachable,
)
from deployments.commands.replay import replay_ledger
from deployments.routing.replay import SURE_BELOW

if TYPE_CHECKING:
    import openai

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
# Longest wait of `route` and `status`, which no model makes wait, seconds.
TIMEOUT_S = 30.0
# Longest wait of `chat` for the next piece of an answer, seconds: the gateway's own deadline.
CHAT_TIMEOUT_S = 600.0
console = Console(highlight=False)


def route(
    prompt: Annotated[
        str,
        typer.Argument(help="The prompt; - reads standard input; replay: see --ledger."),
    ],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
    ledger: Annotated[
        Path | None,
        typer.Option(help="With `replay`: a ledger's file or folder, under the policy below."),
    ] = None,
    target_rate: Annotated[float | None, typer.Option(help="escalation.target_rate")] = None,
    max_rate: Annotated[float | None, typer.Option(help="escalation.max_rate")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="classifier.threshold")] = 0.7,
    hold: Annotated[bool, typer.Option(help="escalation.hold")] = True,
    burst: Annotated[int | None, typer.Option(help="escalation.burst")] = None,
    min_threshold: Annotated[float | None, typer.Option(help="escalation.min_threshold")] = None,
    max_threshold: Annotated[float | None, typer.Option(help="escalation.max_threshold")] = None,
    sure_below: Annotated[
        float, typer.Option(min=0, max=1, help="answer_check.sure_below")
    ] = SURE_BELOW,
) -> None:
    """Which tier would answer this prompt, and why. Sends nothing to a model.

    `route replay --ledger FILE` shows what another policy would have done with a ledger's requests.
    """
    if ledger is not None:
        policy = {
            **{"target_rate": target_rate, "max_rate": max_rate, "hold": hold, "burst": burst},
            **{"min_threshold": min_threshold, "max_threshold": max_threshold},
        }
        replay_ledger(ledger, policy, threshold, sure_below, as_json)
        return
    content = _text(sys.stdin.read() if prompt == "-" else prompt)
    body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
    with _client(endpoint_or_exit(url, key_file, ca_file)) as client:
        decision = _checked(client.post("/v1/route", json=body))
    if as_json:
        console.print_json(json.dumps(decision))
        return
    table = Table(show_header=False)
    for key in ("tier", "model", "cause", "score", "threshold"):
        table.add_row(key, str(decision[key]))
    for key, value in (decision["classifier"] or {}).items():
        table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    for change in decision["would_change"]:
        table.add_row("would change", change)
    console.print(table)


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="One message; without it, a dialogue.")
    ] = None,
    model: Annotated[str, typer.Option(help="auto, small, large or a model's name.")] = "auto",
    max_tokens: Annotated[int, typer.Option(help="Longest answer, tokens.")] = 256,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Talk to the endpoint; each answer names its tier and cause."""
    # Imported here: it takes as long as everything else that the other commands import.
    import openai

    with endpoint_or_exit(url, key_file, ca_file).openai(CHAT_TIMEOUT_S) as client:
        messages: list[Any] = []
        while True:
            if prompt is None:
                try:
                    text = console.input("[bold]you:[/] ")
                except (EOFError, KeyboardInterrupt):
                    return
            else:
                text = _text(prompt)
            messages.append({"role": "user", "content": text})
            try:
                answer = _say(client, messages, model, max_tokens)
            except openai.APIConnectionError as error:
                fail(unreachable(url, error.__cause__))
            except openai.APIStatusError as error:
                fail(f"{error.status_code}: {_said(error)}")
            messages.append({"role": "assistant", "content": answer})
            if prompt is not None:
                return


def _said(error: "openai.APIStatusError") -> str:
    """The server's own message; the client library puts the status before it once more."""
    body = error.body
    return str(body["message"]) if isinstance(body, dict) and "message" in body else error.message


def _text(given: str) -> str:
    """The same text, with what a terminal sent and no encoding knows as replacement characters."""
    return given.encode(errors="replace").decode()


def _say(client: "openai.OpenAI", messages: list[Any], model: str, max_tokens: int) -> str:
    """Stream one answer to the terminal; returns its text."""
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=messages, stream=True, max_tokens=max_tokens
    )
    about = {k: raw.headers.get(f"x-smallfirst-{k}") for k in ("tier", "model", "cause", "score")}
    parts: list[str] = []
    with raw.parse() as events:
        for event in events:
            text = event.choices[0].delta.content if event.choices else None
            if text:
                parts.append(text)
                console.print(text, end="", markup=False, soft_wrap=True)
    console.print()
    score = about["score"] or "-"
    console.print(f"[dim]{about['tier']} ({about['model']}), {about['cause']}, score {score}[/]")
    return "".join(parts)


def status(
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Whether the endpoint is ready, and what it serves."""
    with _client(endpoint_or_exit(url, key_file, ca_file)) as client:
        ready = _document(client.get("/readyz"))
        listed = _checked(client.get("/v1/models"))["data"]
    if as_json:
        console.print_json(json.dumps({"ready": ready, "models": listed}))
    else:
        table = Table("tier", "replicas", "model", "notes", title=f"{url}: {ready['status']}")
        for model in listed:
            if model["id"] in ("auto", "small", "large"):
                continue
            notes = [note for note in ("stand_in", "remote") if model.get(note)]
            tier = ready["tiers"][model["tier"]]
            replicas = str(tier["replicas"]) if tier["up"] else "[red]0, down[/]"
            table.add_row(model["tier"], replicas, model["id"], ", ".join(notes).replace("_", "-"))
        console.print(table)
    if ready["status"] != "ok":
        raise typer.Exit(1)


@contextmanager
def _client(at: Endpoint) -> Iterator[httpx.Client]:
    """An HTTP client for the endpoint; says how to start it where nothing answers."""
    try:
        with at.client(TIMEOUT_S) as client:
            yield client
    except httpx.TransportError as error:
        fail(unreachable(at.url, error))


def _checked(response: httpx.Response) -> Any:
    body = _document(response)
    try:
        if response.is_error:
            fail(f"{response.status_code}: {body['error']['message']}")
    except (LookupError, TypeError):
        _not_ours(response)
    return body


def _document(response: httpx.Response) -> Any:
    try:
        body = response.json()
    except ValueError:
        _not_ours(response)
    return body


def _not_ours(response: httpx.Response) -> NoReturn:
    fail(f"{response.status_code} from {response.url}: this is not a smallfirst endpoint")
