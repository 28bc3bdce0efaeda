"""What changes and deaths cost the clients of a running endpoint: the first part of docs/faults.md.

    python -m bench.faults.changes [--long-answer-s 600]

30 requests a second, half of them streams, two gateways, two small replicas, simulated engines that
refuse wrong names as vLLM does. A request is lost where its client got an error, or nothing, before
the first byte; cut where its answer began and did not end.
"""

import asyncio
import json
import os
import platform
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer

from bench.faults.drill import ARGS, BODY, Drill, Row, drilled
from bench.faults.endpoint import wait_until
from bench.faults.load import Outcomes, ask
from bench.faults.report import write_report

RESULTS = Path(__file__).parent / "results" / "changes.json"
PER_S = 30.0
LONG_ANSWERS = 12
# Replicas that drain for two minutes, whatever they began, cut these; shorter ones show nothing.
LONG_ANSWER_S = 150.0
TWO_MORE = {"small": {"scaling": {"min_replicas": 4, "max_replicas": 4}}}


def swap(drill: Drill) -> None:
    drill.command("swap", "small", "--model", "sim-new", "--config", str(drill.config))


def swap_back(drill: Drill) -> None:
    drill.apply({})


def swap_that_fails(drill: Drill) -> None:
    golden = drill.config.with_name("golden.jsonl")
    golden.write_text('{"prompt": "Say it.", "matches": "no simulated engine says this"}\n')
    words = ["--model", "sim-bad", "--golden", str(golden), "--config", str(drill.config)]
    said = drill.command("swap", "small", *words, fails=True)
    assert "rolled back: small, probe 1" in said, said


def adapter_in(drill: Drill) -> None:
    drill.apply({"small": {"adapters": {"law": {"path": "/adapters/law"}}}})
    body = {**BODY, "model": "law"}
    answer = drill.post("/v1/chat/completions", body)
    assert answer.headers["x-smallfirst-model"] == "law", answer.text


def settings_edited(drill: Drill) -> None:
    drill.apply(
        {
            "small": {
                "usd_per_million_prompt_tokens": 1.0,
                "usd_per_million_completion_tokens": 2.5,
            },
            "classifier": {"threshold": 0.5},
            "escalation": {"target_rate": 0.2, "hold": False, "burst": 9},
        }
    )
    route = drill.post("/v1/route", BODY)
    assert route.json()["threshold"] == 0.5, route.text


def scaled_down_with_long_answers(answer_s: float) -> Callable[[Drill], None]:
    """Four small replicas with long streams on all of them go back to two."""

    async def long_answers(drill: Drill, outcomes: Outcomes) -> None:
        body = {**BODY, "model": "small", "stream": True, "max_tokens": int(answer_s / 0.02)}
        async with httpx.AsyncClient(
            base_url=drill.endpoint.url, timeout=answer_s + 120, trust_env=False
        ) as client:
            asked = [asyncio.create_task(ask(client, body, outcomes)) for _ in range(LONG_ANSWERS)]
            await asyncio.sleep(3)
            await asyncio.to_thread(drill.apply, {})
            await asyncio.gather(*asked)

    def scale(drill: Drill) -> None:
        drill.apply(TWO_MORE)
        drill.wait_for("SmallTier", 4)
        outcomes = Outcomes()
        asyncio.run(long_answers(drill, outcomes))
        drill.load.outcomes.add(outcomes)
        wait_until(lambda: len(drill.endpoint.replicas("SmallTier")) == 2, 120, "two replicas")

    return scale


def kill_controller(drill: Drill) -> None:
    (controller,) = drill.processes("ray::ServeController")
    controller.kill()
    wait_until(lambda: drill.processes("ray::ServeController"), 90, "the controller is back")


def kill(deployment: str) -> Callable[[Drill], None]:
    def kill_one(drill: Drill) -> None:
        before = {p.pid for p in drill.endpoint.replicas(deployment)}
        drill.endpoint.replicas(deployment)[0].kill()
        wait_until(
            lambda: len({p.pid for p in drill.endpoint.replicas(deployment)} - before) >= 1,
            90,
            f"another {deployment}",
        )

    return kill_one


def poison(drill: Drill) -> None:
    """A request under which engines die: it is the only one that gets an error for it."""
    before = {p.pid for p in drill.endpoint.replicas("SmallTier")}
    answer = drill.post("/v1/chat/completions", {**BODY, "model": "small", "user": "drill:die"})
    assert answer.json()["error"]["code"] == "engine_killed", answer.text
    wait_until(
        lambda: (
            {p.pid for p in drill.endpoint.replicas("SmallTier")} != before
            and drill.endpoint.whole(2)
        ),
        120,
        "small replicas are back",
    )


def disk_full(store: Path) -> Callable[[Drill], None]:
    """The disk of the accounts' file fills up, and is freed after ten seconds."""

    def booked() -> int:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT COUNT(*) FROM ledger").fetchone()[0])

    def fill(drill: Drill) -> None:
        with suppress(OSError), (store.parent / "full").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        time.sleep(10)
        (store.parent / "full").unlink()
        answered = drill.load.outcomes.ok
        wait_until(lambda: booked() >= answered, 60, "every answer is booked")

    return fill


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of 24 MB. Wants root."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def redeploy(drill: Drill) -> None:
    drill.apply({})


def changes(long_answer_s: float) -> dict[str, Callable[[Drill], None]]:
    """Everything that is done, in order."""
    return {
        "swap of the small model": swap,
        "swap back": swap_back,
        "swap whose probe fails, rolled back": swap_that_fails,
        "adapter in": adapter_in,
        "adapter out": redeploy,
        "price, threshold and budget edited": settings_edited,
        "edited back": redeploy,
        "the same config deployed again": redeploy,
        f"4 replicas to 2 under {LONG_ANSWERS} answers of {long_answer_s:.0f} s": (
            scaled_down_with_long_answers(long_answer_s)
        ),
        "Serve controller killed": kill_controller,
        "board killed": kill("Board"),
        "classifier killed": kill("Classifier"),
        "small replica killed": kill("SmallTier"),
        "request under which engines die": poison,
        "gateway killed": kill("Gateway"),
    }


def behind_haproxy() -> dict[str, Callable[[Drill], None]]:
    """What another front changes."""
    return {"gateway killed, HAProxy in front": kill("Gateway")}


def on_a_small_disk(only: str) -> list[Row]:
    """What a full disk costs."""
    if os.geteuid():
        print("disk of the accounts full: skipped, wants root")
        return []
    with small_disk() as folder:
        store = folder / "accounts.sqlite"
        full = {"disk of the accounts full for 10 s": disk_full(store)}
        return made(full, only, args=ARGS | {"accounts": {"store": str(store)}})


def made(
    changes: dict[str, Callable[[Drill], None]],
    only: str,
    *options: str,
    args: dict[str, Any] = ARGS,
    per_s: float = PER_S,
    max_tokens: int = 20,
) -> list[Row]:
    """Make those with this in their name, in order, on one endpoint."""
    chosen = {name: do for name, do in changes.items() if only in name}
    if not chosen:
        return []
    with drilled(args, per_s, *options, max_tokens=max_tokens) as drill:
        for name, do in chosen.items():
            row = drill.measure(name, do)
            print(json.dumps(asdict(row)), flush=True)
        return drill.rows


def main(
    long_answer_s: Annotated[
        float, typer.Option(help="Longest answers, seconds.", min=LONG_ANSWER_S)
    ] = LONG_ANSWER_S,
    only: Annotated[
        str, typer.Option(help="Just these by a part of their name; other rows stay.")
    ] = "",
) -> None:
    """Make the changes under load; write the figures and docs/faults.md."""
    rows = made(changes(long_answer_s), only)
    rows += made(behind_haproxy(), only, "--haproxy") + on_a_small_disk(only)
    kept = [asdict(row) | {"date": time.strftime("%Y-%m-%d")} for row in rows]
    if only:
        fresh = {row["change"]: row for row in kept}
        known = json.loads(RESULTS.read_text())["rows"]
        kept = [fresh.pop(row["change"], row) for row in known] + list(fresh.values())
    about: dict[str, Any] = {
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "per_s": PER_S,
        "rows": kept,
    }
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    write_report()


if __name__ == "__main__":
    typer.run(main)
