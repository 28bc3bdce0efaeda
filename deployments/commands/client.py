"""The commands that talk to a running endpoint: `route`, `chat`, `status`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import secret

if TYPE_CHECKING:
    import openai

Url = Annotated[str, typer.Option(help="Where the endpoint runs.", envvar="SMALLFIRST_URL")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_URL = "http://127.0.0.1:8000"
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads standard input.")],
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Which tier would answer this prompt, and why. Sends nothing to a model."""
    content = _text(sys.stdin.read() if prompt == "-" else prompt)
    body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
    with _client(url) as client:
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
) -> None:
    """Talk to the endpoint; each answer names its tier and cause."""
    # Imported here: it takes as long as everything else that the other commands import.
    import openai

    with openai.OpenAI(
        base_url=f"{url}/v1",
        api_key=_api_key() or "none",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
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
            except openai.APIConnectionError:
                _fail(f"nothing answers at {url}; start it with: smallfirst serve")
            except openai.APIStatusError as error:
                _fail(f"{error.status_code}: {_said(error)}")
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


def status(url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Whether the endpoint is ready, and what it serves."""
    with _client(url) as client:
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
def _client(url: str) -> Iterator[httpx.Client]:
    """An HTTP client for the endpoint; says how to start it where nothing answers."""
    key = _api_key()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            yield client
    except httpx.TransportError:
        _fail(f"nothing answers at {url}; start it with: smallfirst serve")


def _checked(response: httpx.Response) -> Any:
    body = _document(response)
    try:
        if response.is_error:
            _fail(f"{response.status_code}: {body['error']['message']}")
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
    _fail(f"{response.status_code} from {response.url}: this is not a smallfirst endpoint")


def _api_key() -> str | None:
    try:
        return secret("SMALLFIRST_API_KEY")
    except ConfigError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    errors.print(f"error: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(2)
