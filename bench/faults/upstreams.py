"""What a client gets while the first of two upstreams breaks: `python -m bench.faults.upstreams`.

The same faults, the same time-outs and the same second upstream through this gateway (in this
process, without Ray) and, with `--rival`, through LiteLLM's proxy. Each fault meets streamed and
whole answers. Writes `results/upstreams.md`.
"""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import uvicorn
import yaml

from bench.faults.faulty import FAULTS, GOOD, good, upstream
from bench.faults.in_process import gateway_app
from bench.overhead.rivals import LITELLM, environment
from bench.overhead.servers import started

RESULTS = Path(__file__).with_name("results") / "upstreams.md"
PATIENCE_S = 2.0
TIMES = 3
# What no upstream that answers can do.
UNREACHABLE = ("refused", "DNS failure", "TLS failure")
AFTER_A_BYTE = ("stall in mid-stream", "cut in mid-stream")


@dataclass(frozen=True)
class Got:
    """What clients got of one fault, one way of asking, one server."""

    whole: int
    clean_errors: int
    seconds: float
    example: str

    def __str__(self) -> str:
        if self.whole == TIMES:
            return f"all answered, {self.seconds:.1f} s"
        return f"{self.whole} of {TIMES} answered, {self.example}, {self.seconds:.1f} s"


async def asked(http: httpx.AsyncClient, model: str, stream: bool) -> tuple[str, float]:
    """`whole`, or what came in its place, and how long it took."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    began_s = time.perf_counter()
    try:
        answer = await http.post("/v1/chat/completions", json=body)
        text = answer.text
    except httpx.HTTPError as error:
        return f"connection: {type(error).__name__}", time.perf_counter() - began_s
    took_s = time.perf_counter() - began_s
    if answer.status_code != 200:
        return f"HTTP {answer.status_code}", took_s
    if not stream:
        return ("whole" if GOOD in text else "another document"), took_s
    said = "".join(_texts(text))
    if said == GOOD and "[DONE]" in text:
        return "whole", took_s
    is_error = '"error"' in text and "[DONE]" not in text
    return ("a clean error event" if is_error else f"a stream that ends {text[-20:]!r}"), took_s


def _texts(stream: str) -> list[str]:
    texts = []
    for line in stream.splitlines():
        if line.startswith("data: {"):
            with contextlib.suppress(ValueError):
                choices = yaml.safe_load(line[6:]).get("choices") or []
                texts += [(c.get("delta") or {}).get("content") or "" for c in choices]
    return texts


async def repeated(http: httpx.AsyncClient, model: str, stream: bool) -> Got:
    """The same request several times, one after the other."""
    answers = [await asked(http, model, stream) for _ in range(TIMES)]
    other = [what for what, _ in answers if what != "whole"]
    return Got(
        TIMES - len(other),
        sum(what == "a clean error event" for what in other),
        max(took_s for _, took_s in answers),
        other[0] if other else "",
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def faulty_urls() -> AsyncIterator[dict[str, str]]:
    """The base URL of each fault, and of the upstream that works."""
    async with contextlib.AsyncExitStack() as stack:
        urls = {
            name: await stack.enter_async_context(upstream(fault)) for name, fault in FAULTS.items()
        }
        urls["good"] = await stack.enter_async_context(upstream(good))
        urls["refused"] = f"http://127.0.0.1:{_free_port()}/v1"
        urls["DNS failure"] = "http://no-such-host.invalid/v1"
        urls["TLS failure"] = urls["good"].replace("http://", "https://")
        yield urls


async def ours(urls: dict[str, str], faults: Sequence[str]) -> dict[str, tuple[Got, Got]]:
    """Each fault through this gateway: whole answers, streams."""
    found = {}
    for fault in faults:
        patience = {"first_token_timeout_s": PATIENCE_S, "read_timeout_s": PATIENCE_S}
        targets = [
            {"name": "first", "base_url": urls[fault], "model": "m", **patience},
            {"name": "second", "base_url": urls["good"], "model": "m", **patience},
        ]
        gots = []
        for stream in (False, True):  # each begins with closed breakers
            async with gateway_app(targets) as app, served(app) as http:
                gots.append(await repeated(http, "large", stream))
        found[fault] = (gots[0], gots[1])
        print(f"ours, {fault}: {gots[0]} | {gots[1]}", flush=True)
    return found


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  # uvicorn has a flag and no event
        await asyncio.sleep(0.005)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        yield http
    server.should_exit = True
    await task


async def litellm(urls: dict[str, str], faults: Sequence[str]) -> dict[str, tuple[Got, Got]]:
    """Each fault through LiteLLM's proxy, with the same second upstream as its fallback."""
    models = [_litellm_model(name, urls[name]) for name in (*faults, "good")]
    config = {
        "model_list": models,
        "litellm_settings": {
            "num_retries": 0,
            "request_timeout": PATIENCE_S,
            "fallbacks": [{_slug(name): ["good"]} for name in faults],
        },
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    found, port = {}, _free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "litellm.yaml"
        file.write_text(yaml.safe_dump(config))
        program = await asyncio.to_thread(environment, LITELLM)
        command = [str(program / "litellm"), "--config", str(file), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--telemetry", "False"]
        with contextlib.ExitStack() as stack:
            # In this thread, which alone may hear of signals: nothing else has to run meanwhile.
            stack.enter_context(started(command, port, "/health/liveliness"))
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60
            ) as http:
                for fault in faults:
                    gots = [await repeated(http, _slug(fault), stream) for stream in (False, True)]
                    found[fault] = (gots[0], gots[1])
                    print(f"litellm, {fault}: {gots[0]} | {gots[1]}", flush=True)
    return found


def _slug(name: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in name.lower())


def _litellm_model(name: str, url: str) -> dict[str, Any]:
    target = {"model": "openai/m", "api_base": url, "api_key": "none"}
    patience = {"timeout": PATIENCE_S, "stream_timeout": PATIENCE_S, "max_retries": 0}
    return {"model_name": _slug(name), "litellm_params": {**target, **patience}}


def _table(faults: Sequence[str], columns: dict[str, dict[str, tuple[Got, Got]]]) -> list[str]:
    names = [f"{name}, {way}" for name in columns for way in ("whole answer", "stream")]
    lines = [f"| fault of the first upstream | {' | '.join(names)} |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for fault in faults:
        cells = [str(got) for found in columns.values() for got in found[fault]]
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    return lines


async def _measure(rival: bool) -> list[str]:
    faults = [*UNREACHABLE, *FAULTS]
    async with faulty_urls() as urls:
        columns = {"smallfirst": await ours(urls, faults)}
        if rival:
            columns[LITELLM] = await litellm(urls, faults)
    return _table(faults, columns)


def main(
    rival: Annotated[bool, typer.Option(help="Through LiteLLM's proxy too.")] = False,
) -> None:
    """Write the table."""
    table = asyncio.run(_measure(rival))
    text = [
        "# The first of two upstreams breaks",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, 2 cores. Two targets in order, the second one works.",
        f"{PATIENCE_S:g} s of patience for a first token and between tokens; {TIMES} requests",
        "each, the slowest is told. In the last two rows bytes had been sent when the fault came.",
        "`python -m bench.faults.upstreams --rival`.",
        "",
        *table,
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    typer.run(main)
